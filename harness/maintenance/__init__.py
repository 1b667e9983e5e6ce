"""What keeps an installation small: rotation of logs, the clean-up script and its schedule.

The policies are data, in fixtures/logs/rotation.toml. Whatever must run inside a container
(`coreapp_rotation`, `log_writer` and what they import) needs nothing but Python itself.
"""
