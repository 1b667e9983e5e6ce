/*
 * Function: public."deleteUserDataByPhoneNumber"(bigint)
 *
 * Run in contactStore. The foreign tables (queue, chats, messages ...) have to be there
 * already; /* the part of the guide that makes them is in setup_fdw.sql */ don't run it twice.
 */

-- DROP FUNCTION public."deleteUserDataByPhoneNumber"(bigint);

CREATE OR REPLACE FUNCTION public."deleteUserDataByPhoneNumber"(wa_id bigint)
  RETURNS void AS
$BODY$
DECLARE
    user_jid VARCHAR(56);
BEGIN
    -- who is it; the JID isn't always the number
    SELECT p.jid INTO user_jid FROM wa_phones p WHERE p.phone_number = '+' || wa_id;
    if user_jid is null then
        user_jid := wa_id || '@s.whatsapp.net';
    END IF;

    delete from queue where key_remote_jid = user_jid;

    -- messageStore (foreign)
    DELETE FROM chats WHERE key_remote_jid = user_jid OR group_creator = user_jid;
    DELETE FROM public.group_participants_history WHERE jid = user_jid;
    DELETE FROM messages
     WHERE key_remote_jid = user_jid
        OR remote_resource = user_jid;   -- both; groups have the sender in remote_resource
    Delete from public.messages_pending_actions where
           key_remote_jid = user_jid or remote_resource = user_jid;
    DELETE FROM public.messages_receipt_log WHERE key_remote_jid = user_jid;
    DELETE FROM sender_key_distribution_status
      WHERE jid=user_jid;

    /* axolotlStore
       /* DELETE FROM sender_keys ... is missing in the guide, too */
       by number, not by JID */
    DELETE FROM public.identities WHERE recipient_id = wa_id;
    DELETE FROM message_base_key WHERE msg_key_remote_jid = user_jid;
    DELETE FROM public."sessions" WHERE recipient_id = wa_id;

    -- our own
    DELETE FROM wa_contacts WHERE jid = user_jid; DELETE FROM "wa_phones" WHERE "jid" = user_jid;
END;
$BODY$
  LANGUAGE plpgsql VOLATILE
  COST 100;

ALTER FUNCTION public."deleteUserDataByPhoneNumber"(bigint)
  OWNER TO CURRENT_USER;

-- SELECT public."deleteUserDataByPhoneNumber"(...);
