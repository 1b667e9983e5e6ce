-- Erases one person from the stores of the client, by phone number (MySQL 5.6 and later).
--
--   CALL contactStore.erasePersonByPhoneNumber(<the number, without the plus>);
--
-- What is the person's own is deleted. In what is other people's, the digits of the number
-- become as many zeros: in JIDs of groups, texts, JSON, blobs and message ids. A number inside
-- a longer one is somebody else's and stays. The person goes by two numbers at most: the one
-- given, and the one that wa_phones and wa_contacts tie to it; with more, nothing is done.
--
-- All or nothing: inside a transaction of the caller's, a failure takes back what this routine
-- did and leaves the transaction open; outside of one, the routine has a transaction of its own.
--
-- Not looked for: numbers with blanks or hyphens in them, other scripts' digits, hexadecimal,
-- base64 other than message ids, JIDs of linked devices, LIDs, columns that are not named below.

USE contactStore;

-- Text in place of a number is refused by the server where the caller's session is strict, too.
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';

DROP PROCEDURE IF EXISTS erasePersonByPhoneNumber;

DELIMITER $$

CREATE PROCEDURE erasePersonByPhoneNumber(IN phone BIGINT)
SQL SECURITY INVOKER
BEGIN
  DECLARE own_number VARCHAR(15) CHARACTER SET latin1;
  DECLARE own_phone VARCHAR(16) CHARACTER SET latin1;
  DECLARE own_jid VARCHAR(50) CHARACTER SET latin1;
  DECLARE own_zeros VARCHAR(15) CHARACTER SET latin1;
  DECLARE own_packed VARCHAR(24) CHARACTER SET latin1;
  DECLARE own_blank VARCHAR(24) CHARACTER SET latin1;
  DECLARE own_letters INT;

  DECLARE other_id BIGINT;
  DECLARE other_number VARCHAR(15) CHARACTER SET latin1;
  DECLARE other_phone VARCHAR(16) CHARACTER SET latin1;
  DECLARE other_jid VARCHAR(50) CHARACTER SET latin1;
  DECLARE other_zeros VARCHAR(15) CHARACTER SET latin1;
  DECLARE other_packed VARCHAR(24) CHARACTER SET latin1;
  DECLARE other_blank VARCHAR(24) CHARACTER SET latin1;
  DECLARE other_letters INT;
  DECLARE other_count INT;

  -- What mentions look like, for LIKE.
  DECLARE own_groups VARCHAR(20) CHARACTER SET latin1;
  DECLARE own_digits VARCHAR(20) CHARACTER SET latin1;
  DECLARE own_ids VARCHAR(24) CHARACTER SET latin1;
  DECLARE other_groups VARCHAR(20) CHARACTER SET latin1;
  DECLARE other_digits VARCHAR(20) CHARACTER SET latin1;
  DECLARE other_ids VARCHAR(24) CHARACTER SET latin1;

  -- Stands in for a number that must stay; begins and ends with a digit, as the number does.
  DECLARE shield VARBINARY(10) DEFAULT CONCAT('0', REPEAT(CHAR(1), 8), '0');

  -- What a number looks like in a message id, and what replaces it.
  DECLARE code VARCHAR(24) CHARACTER SET latin1;
  DECLARE blank VARCHAR(24) CHARACTER SET latin1;
  DECLARE tail INT DEFAULT 0;

  DECLARE in_transaction BOOLEAN DEFAULT TRUE;
  DECLARE begun BOOLEAN DEFAULT FALSE;

  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    DROP TEMPORARY TABLE IF EXISTS contactStore.erasure_mentions;
    IF begun AND in_transaction THEN
      BEGIN
        -- After a deadlock the server has taken the whole transaction back already.
        DECLARE CONTINUE HANDLER FOR 1305 BEGIN END;
        ROLLBACK TO SAVEPOINT before_erasure;
      END;
    ELSEIF begun THEN
      ROLLBACK;
    END IF;
    RESIGNAL;
  END;

  -- --- who it is ---------------------------------------------------------------------------

  IF phone IS NULL OR phone NOT BETWEEN 1000000 AND 999999999999999 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A phone number has 7 to 15 digits: nothing was done.';
  END IF;

  SET own_number = phone;
  SET own_phone = CONCAT('+', own_number);
  SET own_jid = CONCAT(own_number, '@s.whatsapp.net');
  SET own_zeros = REPEAT('0', CHAR_LENGTH(own_number));

  SELECT COUNT(DISTINCT tied), MIN(tied) INTO other_count, other_number
    FROM (SELECT SUBSTRING_INDEX(jid, '@', 1) AS tied FROM contactStore.wa_phones
           WHERE phone_number = own_phone OR phone_number = own_number
          UNION
          SELECT TRIM(LEADING '+' FROM phone_number) FROM contactStore.wa_phones
           WHERE jid = own_jid
          UNION
          SELECT SUBSTRING_INDEX(jid, '@', 1) FROM contactStore.wa_contacts
           WHERE number = own_phone OR number = own_number
          UNION
          SELECT TRIM(LEADING '+' FROM number) FROM contactStore.wa_contacts
           WHERE jid = own_jid) AS ties
   WHERE tied <> own_number AND tied REGEXP '^[1-9][0-9]{6,14}$';

  IF other_count > 1 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'This person has more than two numbers: nothing was done.';
  END IF;

  -- Without another number these are NULL, which equals nothing and is like nothing.
  SET other_id = other_number;
  SET other_phone = CONCAT('+', other_number);
  SET other_jid = CONCAT(other_number, '@s.whatsapp.net');
  SET other_zeros = REPEAT('0', CHAR_LENGTH(other_number));

  -- --- all or nothing ----------------------------------------------------------------------

  -- A savepoint can only be gone back to inside a transaction: 5.6 has no other way to ask.
  BEGIN
    DECLARE CONTINUE HANDLER FOR 1305 SET in_transaction = FALSE;
    SAVEPOINT before_erasure;
    ROLLBACK TO SAVEPOINT before_erasure;
  END;
  IF NOT in_transaction THEN
    START TRANSACTION;
  END IF;
  SET begun = TRUE;

  -- --- the person's own rows ---------------------------------------------------------------

  DELETE FROM callbackStore.queue
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid;

  DELETE FROM messageStore.chats
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR group_creator = own_jid OR group_creator = other_jid;
  DELETE FROM messageStore.group_participants_history
   WHERE jid = own_jid OR jid = other_jid;
  DELETE FROM messageStore.messages
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM messageStore.messages_pending_actions
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM messageStore.messages_receipt_log
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM messageStore.sender_key_distribution_status
   WHERE jid = own_jid OR jid = other_jid;
  DELETE FROM messageStore.receipts
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;

  -- The installation's own identity, -1, is no phone number.
  DELETE FROM axolotlStore.identities
   WHERE recipient_id = phone OR recipient_id = other_id;
  DELETE FROM axolotlStore.message_base_key
   WHERE msg_key_remote_jid = own_jid OR msg_key_remote_jid = other_jid;
  DELETE FROM axolotlStore.sender_keys
   WHERE sender_id = phone OR sender_id = other_id;
  DELETE FROM axolotlStore.sessions
   WHERE recipient_id = phone OR recipient_id = other_id;

  DELETE FROM contactStore.wa_contacts
   WHERE jid = own_jid OR jid = other_jid OR number = own_phone OR number = other_phone;
  DELETE FROM contactStore.wa_phones
   WHERE jid = own_jid OR jid = other_jid OR phone_number = own_phone OR phone_number = other_phone;

  DELETE FROM waweb.contacts
   WHERE wa_id = own_number OR wa_id = other_number;

  -- --- groups that the person made: the JID begins with the number --------------------------

  SET own_groups = CONCAT(own_number, '-%');
  SET other_groups = CONCAT(other_number, '-%');

  UPDATE callbackStore.queue
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE messageStore.chats
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE messageStore.group_participants_history
     SET gjid = CONCAT(REPEAT('0', LOCATE('-', gjid) - 1), SUBSTRING(gjid, LOCATE('-', gjid)))
   WHERE gjid LIKE own_groups OR gjid LIKE other_groups;
  UPDATE messageStore.messages
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE messageStore.messages_pending_actions
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE messageStore.messages_receipt_log
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE messageStore.sender_key_distribution_status
     SET gjid = CONCAT(REPEAT('0', LOCATE('-', gjid) - 1), SUBSTRING(gjid, LOCATE('-', gjid)))
   WHERE gjid LIKE own_groups OR gjid LIKE other_groups;
  UPDATE messageStore.receipts
     SET key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', key_remote_jid) - 1),
                                 SUBSTRING(key_remote_jid, LOCATE('-', key_remote_jid)))
   WHERE key_remote_jid LIKE own_groups OR key_remote_jid LIKE other_groups;
  UPDATE axolotlStore.message_base_key
     SET msg_key_remote_jid = CONCAT(REPEAT('0', LOCATE('-', msg_key_remote_jid) - 1),
                                     SUBSTRING(msg_key_remote_jid, LOCATE('-', msg_key_remote_jid)))
   WHERE msg_key_remote_jid LIKE own_groups OR msg_key_remote_jid LIKE other_groups;
  UPDATE axolotlStore.sender_keys
     SET group_id = CONCAT(REPEAT('0', LOCATE('-', group_id) - 1),
                           SUBSTRING(group_id, LOCATE('-', group_id)))
   WHERE group_id LIKE own_groups OR group_id LIKE other_groups;

  -- --- mentions: set aside whatever may hold one --------------------------------------------

  SET own_digits = CONCAT('%', own_number, '%');
  SET other_digits = CONCAT('%', other_number, '%');

  -- A message id is base64 of two bytes of flags, a byte 8n, and n bytes of packed decimals,
  -- padded with f: three bytes are four letters, of which the first varies with the flags.
  SET own_packed = CONCAT('00118', CEIL(CHAR_LENGTH(own_number) / 2), own_number,
                          REPEAT('F', CHAR_LENGTH(own_number) % 2));
  SET own_blank = CONCAT('00118', CEIL(CHAR_LENGTH(own_number) / 2), own_zeros,
                         REPEAT('F', CHAR_LENGTH(own_number) % 2));
  SET own_letters = CEIL((24 + 4 * CHAR_LENGTH(own_number) + CHAR_LENGTH(own_number) % 2) / 6);
  SET own_ids = CONCAT('%', SUBSTRING(LEFT(TO_BASE64(UNHEX(own_packed)), own_letters - 1), 2), '%');
  SET other_packed = CONCAT('00118', CEIL(CHAR_LENGTH(other_number) / 2), other_number,
                          REPEAT('F', CHAR_LENGTH(other_number) % 2));
  SET other_blank = CONCAT('00118', CEIL(CHAR_LENGTH(other_number) / 2), other_zeros,
                         REPEAT('F', CHAR_LENGTH(other_number) % 2));
  SET other_letters = CEIL((24 + 4 * CHAR_LENGTH(other_number) + CHAR_LENGTH(other_number) % 2) / 6);
  SET other_ids = CONCAT('%', SUBSTRING(LEFT(TO_BASE64(UNHEX(other_packed)), other_letters - 1), 2), '%');

  DROP TEMPORARY TABLE IF EXISTS contactStore.erasure_mentions;
  CREATE TEMPORARY TABLE contactStore.erasure_mentions (
    place VARCHAR(32) CHARACTER SET latin1,
    row_id BIGINT,
    content LONGBLOB,
    PRIMARY KEY (place, row_id)
  ) ENGINE=MyISAM;

  INSERT INTO contactStore.erasure_mentions
  SELECT 'queue.payload', _id, payload FROM callbackStore.queue
   WHERE payload LIKE own_digits OR payload LIKE other_digits
      OR payload LIKE own_ids OR payload LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'chats.subject', _id, subject FROM messageStore.chats
   WHERE subject LIKE own_digits OR subject LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.key_id', _id, key_id FROM messageStore.messages
   WHERE key_id LIKE own_ids OR key_id LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.data', _id, data FROM messageStore.messages
   WHERE data LIKE own_digits OR data LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.media_url', _id, media_url FROM messageStore.messages
   WHERE media_url LIKE own_digits OR media_url LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.media_name', _id, media_name FROM messageStore.messages
   WHERE media_name LIKE own_digits OR media_name LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.media_caption', _id, media_caption FROM messageStore.messages
   WHERE media_caption LIKE own_digits OR media_caption LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.thumb_image', _id, thumb_image FROM messageStore.messages
   WHERE thumb_image LIKE own_digits OR thumb_image LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.raw_data', _id, raw_data FROM messageStore.messages
   WHERE raw_data LIKE own_digits OR raw_data LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages.mentioned_jids', _id, mentioned_jids FROM messageStore.messages
   WHERE mentioned_jids LIKE own_digits OR mentioned_jids LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages_pending_actions.key_id', _id, key_id FROM messageStore.messages_pending_actions
   WHERE key_id LIKE own_ids OR key_id LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'messages_receipt_log.key_id', _id, key_id FROM messageStore.messages_receipt_log
   WHERE key_id LIKE own_ids OR key_id LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'receipts.key_id', _id, key_id FROM messageStore.receipts
   WHERE key_id LIKE own_ids OR key_id LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'message_base_key.msg_key_id', _id, msg_key_id FROM axolotlStore.message_base_key
   WHERE msg_key_id LIKE own_ids OR msg_key_id LIKE other_ids;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'jobs.parameters', _id, parameters FROM jobqueueStore.jobs
   WHERE parameters LIKE own_digits OR parameters LIKE other_digits;
  INSERT INTO contactStore.erasure_mentions
  SELECT 'jobs.serialized', _id, serialized FROM jobqueueStore.jobs
   WHERE serialized LIKE own_digits OR serialized LIKE other_digits;

  -- --- mentions: digits become zeros --------------------------------------------------------

  -- One occurrence after the other; those with a digit beside them are shielded, then restored.
  REPEAT
    UPDATE contactStore.erasure_mentions
       SET content = INSERT(content, LOCATE(own_number, content), CHAR_LENGTH(own_number),
             IF(SUBSTRING(content, LOCATE(own_number, content) - 1, 1) BETWEEN '0' AND '9'
                OR SUBSTRING(content, LOCATE(own_number, content) + CHAR_LENGTH(own_number), 1)
                   BETWEEN '0' AND '9', shield, own_zeros))
     WHERE LOCATE(own_number, content) > 0;
  UNTIL ROW_COUNT() = 0 END REPEAT;
  UPDATE contactStore.erasure_mentions SET content = REPLACE(content, shield, own_number)
   WHERE LOCATE(shield, content) > 0;

  REPEAT
    UPDATE contactStore.erasure_mentions
       SET content = INSERT(content, LOCATE(other_number, content), CHAR_LENGTH(other_number),
             IF(SUBSTRING(content, LOCATE(other_number, content) - 1, 1) BETWEEN '0' AND '9'
                OR SUBSTRING(content, LOCATE(other_number, content) + CHAR_LENGTH(other_number), 1)
                   BETWEEN '0' AND '9', shield, other_zeros))
     WHERE LOCATE(other_number, content) > 0;
  UNTIL ROW_COUNT() = 0 END REPEAT;
  UPDATE contactStore.erasure_mentions SET content = REPLACE(content, shield, other_number)
   WHERE LOCATE(shield, content) > 0;

  -- Some lengths of numbers share their last letter of base64 with the byte behind them.
  WHILE tail < 16 DO
    SET code = SUBSTRING(LEFT(TO_BASE64(UNHEX(CONCAT(own_packed, HEX(tail), '0'))), own_letters), 2);
    SET blank = SUBSTRING(LEFT(TO_BASE64(UNHEX(CONCAT(own_blank, HEX(tail), '0'))), own_letters), 2);
    UPDATE contactStore.erasure_mentions SET content = REPLACE(content, code, blank)
     WHERE LOCATE(code, content) > 0;
    SET code = SUBSTRING(LEFT(TO_BASE64(UNHEX(CONCAT(other_packed, HEX(tail), '0'))), other_letters), 2);
    SET blank = SUBSTRING(LEFT(TO_BASE64(UNHEX(CONCAT(other_blank, HEX(tail), '0'))), other_letters), 2);
    UPDATE contactStore.erasure_mentions SET content = REPLACE(content, code, blank)
     WHERE LOCATE(code, content) > 0;
    SET tail = tail + 1;
  END WHILE;

  -- --- mentions: put back -------------------------------------------------------------------

  UPDATE callbackStore.queue JOIN contactStore.erasure_mentions
      ON place = 'queue.payload' AND row_id = _id
     SET payload = content;
  UPDATE messageStore.chats JOIN contactStore.erasure_mentions
      ON place = 'chats.subject' AND row_id = _id
     SET subject = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.key_id' AND row_id = _id
     SET key_id = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.data' AND row_id = _id
     SET data = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.media_url' AND row_id = _id
     SET media_url = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.media_name' AND row_id = _id
     SET media_name = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.media_caption' AND row_id = _id
     SET media_caption = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.thumb_image' AND row_id = _id
     SET thumb_image = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.raw_data' AND row_id = _id
     SET raw_data = content;
  UPDATE messageStore.messages JOIN contactStore.erasure_mentions
      ON place = 'messages.mentioned_jids' AND row_id = _id
     SET mentioned_jids = content;
  UPDATE messageStore.messages_pending_actions JOIN contactStore.erasure_mentions
      ON place = 'messages_pending_actions.key_id' AND row_id = _id
     SET key_id = content;
  UPDATE messageStore.messages_receipt_log JOIN contactStore.erasure_mentions
      ON place = 'messages_receipt_log.key_id' AND row_id = _id
     SET key_id = content;
  UPDATE messageStore.receipts JOIN contactStore.erasure_mentions
      ON place = 'receipts.key_id' AND row_id = _id
     SET key_id = content;
  UPDATE axolotlStore.message_base_key JOIN contactStore.erasure_mentions
      ON place = 'message_base_key.msg_key_id' AND row_id = _id
     SET msg_key_id = content;
  UPDATE jobqueueStore.jobs JOIN contactStore.erasure_mentions
      ON place = 'jobs.parameters' AND row_id = _id
     SET parameters = content;
  UPDATE jobqueueStore.jobs JOIN contactStore.erasure_mentions
      ON place = 'jobs.serialized' AND row_id = _id
     SET serialized = content;

  -- --- done ---------------------------------------------------------------------------------

  DROP TEMPORARY TABLE contactStore.erasure_mentions;
  IF in_transaction THEN
    RELEASE SAVEPOINT before_erasure;
  ELSE
    COMMIT;
  END IF;
END$$

DELIMITER ;
