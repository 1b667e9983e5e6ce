-- ---------------------------------------------------------------------
-- deleteUserDataByPhoneNumber
-- from the vendor's guide, kept here because the ops wiki went away.
--
-- usage:  CALL deleteUserDataByPhoneNumber(<number without the plus>);
-- "0 rows affected" is normal, don't open a ticket for it
-- ---------------------------------------------------------------------
USE contactStore;

DROP PROCEDURE IF EXISTS deleteUserDataByPhoneNumber;

DELIMITER $$

CREATE DEFINER=`wa`@`%` PROCEDURE `deleteUserDataByPhoneNumber`(wa_id BIGINT)
    SQL SECURITY INVOKER
    COMMENT 'deletes a user; see the guide'
BEGIN

    DECLARE user_jid varchar(50);
    DECLARE phoneNumber VARCHAR(50);   # not used below, it's in the guide like this

    SET user_jid = CONCAT(wa_id, '@s.whatsapp.net');
    SET phoneNumber = concat('+', wa_id);

    -- callbacks first; the Coreapp picks them up again otherwise
    DELETE FROM callbackStore.queue WHERE callbackStore.queue.key_remote_jid = user_jid;

    /* messageStore
       (was: DELETE FROM messageStore.chats WHERE key_remote_jid LIKE user_jid; -- too slow) */
    delete from `messageStore`.`chats`
        where `messageStore`.`chats`.`key_remote_jid` = user_jid
           OR messageStore.chats.group_creator = user_jid;
    DELETE FROM messageStore.group_participants_history
      WHERE messageStore.group_participants_history.jid = user_jid;
    Delete From messageStore.messages WHERE messages.key_remote_jid=user_jid
        or messages.remote_resource=user_jid;
    DELETE FROM messageStore.messages_pending_actions WHERE
        key_remote_jid = user_jid or
        remote_resource = user_jid
    ;
    DELETE  FROM messageStore . messages_receipt_log  WHERE key_remote_jid = user_jid; # name differs in old versions
    DELETE FROM `messageStore`.sender_key_distribution_status
                WHERE `sender_key_distribution_status`.jid = user_jid; /* group
                keys; the client makes new ones */

    # --- axolotlStore ---
    DELETE FROM axolotlStore.identities WHERE recipient_id = wa_id;
    DELETE FROM axolotlStore.message_base_key
    WHERE msg_key_remote_jid = user_jid;
    delete FROM axolotlStore.sender_keys WHERE sender_id = wa_id; DELETE FROM axolotlStore.sessions WHERE recipient_id = wa_id;

    -- contactStore; last, 'cause the rest may need it
    DELETE FROM contactStore.`wa_contacts` WHERE
        contactStore.wa_contacts.jid = user_jid;

    DELETE FROM
        contactStore.wa_phones
    WHERE
        contactStore.wa_phones.jid = user_jid;
END$$

DELIMITER ;

-- SHOW PROCEDURE STATUS WHERE Db = 'contactStore';
