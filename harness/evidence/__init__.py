"""What a session leaves behind: its folder, the verdict document, Allure results.

Touches no store. Only here and in `harness.plugin` is allure imported.
"""
