-- Erases one person from the stores of the client, by phone number (PostgreSQL 10 and later).
--
--   SELECT public."erasePersonByPhoneNumber"(<the number, without the plus>);
--
-- What is the person's own is deleted. In what is other people's, the digits of the number
-- become as many zeros: in JIDs of groups, texts, JSON, blobs and message ids. A number inside
-- a longer one is somebody else's and stays. The person goes by two numbers at most: the one
-- given, and the one that wa_phones and wa_contacts tie to it; with more, nothing is done.
--
-- All or nothing: the function is part of its caller's transaction, and so is what it does in
-- the other databases, until the commit, which reaches them one after the other.
--
-- Not looked for: numbers with blanks or hyphens in them, other scripts' digits, hexadecimal,
-- base64 other than message ids, JIDs of linked devices, LIDs, columns that are not named below.
--
-- Run this in contactStore: first the way to the other stores, then the function; when nobody
-- is left to erase, the clean-up at the end, which takes the password away again.

-- --- the other stores ----------------------------------------------------------------------

CREATE EXTENSION IF NOT EXISTS postgres_fdw;

CREATE SERVER callbackstore_server FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.example', port '5432', dbname 'callbackStore');
CREATE USER MAPPING FOR CURRENT_USER SERVER callbackstore_server
  OPTIONS (user 'wa', password 'change-me');

CREATE SERVER messagestore_server FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.example', port '5432', dbname 'messageStore');
CREATE USER MAPPING FOR CURRENT_USER SERVER messagestore_server
  OPTIONS (user 'wa', password 'change-me');

CREATE SERVER axolotlstore_server FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.example', port '5432', dbname 'axolotlStore');
CREATE USER MAPPING FOR CURRENT_USER SERVER axolotlstore_server
  OPTIONS (user 'wa', password 'change-me');

CREATE SERVER jobqueuestore_server FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.example', port '5432', dbname 'jobqueueStore');
CREATE USER MAPPING FOR CURRENT_USER SERVER jobqueuestore_server
  OPTIONS (user 'wa', password 'change-me');

CREATE SERVER waweb_server FOREIGN DATA WRAPPER postgres_fdw
  OPTIONS (host 'db.example', port '5432', dbname 'waweb');
CREATE USER MAPPING FOR CURRENT_USER SERVER waweb_server
  OPTIONS (user 'wa', password 'change-me');

CREATE FOREIGN TABLE public.queue (
  key_remote_jid varchar(256) NOT NULL,
  payload text
) SERVER callbackstore_server OPTIONS (schema_name 'public', table_name 'queue');

CREATE FOREIGN TABLE public.chats (
  key_remote_jid varchar(256) NOT NULL,
  subject text,
  group_creator text
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'chats');

CREATE FOREIGN TABLE public.group_participants_history (
  gjid varchar(256),
  jid varchar(256) NOT NULL
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'group_participants_history');

CREATE FOREIGN TABLE public.messages (
  key_remote_jid varchar(256) NOT NULL,
  key_id varchar(256),
  data text,
  media_url text,
  media_name text,
  media_caption text,
  thumb_image bytea,
  remote_resource text,
  raw_data bytea,
  mentioned_jids text
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'messages');

CREATE FOREIGN TABLE public.messages_pending_actions (
  key_remote_jid varchar(256) NOT NULL,
  key_id varchar(256),
  remote_resource text
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'messages_pending_actions');

CREATE FOREIGN TABLE public.messages_receipt_log (
  key_remote_jid varchar(256) NOT NULL,
  key_id varchar(256),
  remote_resource text
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'messages_receipt_log');

CREATE FOREIGN TABLE public.sender_key_distribution_status (
  gjid varchar(256) NOT NULL,
  jid varchar(256) NOT NULL
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'sender_key_distribution_status');

CREATE FOREIGN TABLE public.receipts (
  key_remote_jid varchar(256) NOT NULL,
  key_id varchar(256),
  remote_resource text
) SERVER messagestore_server OPTIONS (schema_name 'public', table_name 'receipts');

CREATE FOREIGN TABLE public.identities (
  recipient_id bigint
) SERVER axolotlstore_server OPTIONS (schema_name 'public', table_name 'identities');

CREATE FOREIGN TABLE public.message_base_key (
  msg_key_remote_jid varchar(256) NOT NULL,
  msg_key_id varchar(256)
) SERVER axolotlstore_server OPTIONS (schema_name 'public', table_name 'message_base_key');

CREATE FOREIGN TABLE public.sender_keys (
  group_id varchar(256) NOT NULL,
  sender_id bigint NOT NULL
) SERVER axolotlstore_server OPTIONS (schema_name 'public', table_name 'sender_keys');

CREATE FOREIGN TABLE public.sessions (
  recipient_id bigint NOT NULL
) SERVER axolotlstore_server OPTIONS (schema_name 'public', table_name 'sessions');

CREATE FOREIGN TABLE public.jobs (
  parameters text,
  serialized bytea
) SERVER jobqueuestore_server OPTIONS (schema_name 'public', table_name 'jobs');

CREATE FOREIGN TABLE public.contacts (
  wa_id varchar(256) NOT NULL
) SERVER waweb_server OPTIONS (schema_name 'public', table_name 'contacts');

-- --- the function --------------------------------------------------------------------------

CREATE FUNCTION public."erasePersonByPhoneNumber"(phone bigint) RETURNS void
LANGUAGE plpgsql AS $routine$
DECLARE
  own_number text := phone;
  own_phone text := '+' || own_number;
  own_jid text := own_number || '@s.whatsapp.net';
  own_zeros text := repeat('0', length(own_number));
  own_digits text := '(?<![0-9])' || own_number || '(?![0-9])';
  own_ascii bytea := convert_to(own_number, 'UTF8');
  -- Bytes are searched as hexadecimal, with a blank before each of them.
  own_bytes text := '(?<! 3[0-9])' || regexp_replace(own_number, '(.)', ' 3\1', 'g') || '(?! 3[0-9])';
  own_blank text := repeat(' 30', length(own_number));

  -- Without another number, NULL, which equals nothing, and expressions that match nothing.
  other_id bigint;
  other_number text;
  other_phone text;
  other_jid text;
  other_zeros text := '';
  other_digits text := '(?!)';
  other_ascii bytea;
  other_bytes text := '(?!)';
  other_blank text := '';
  other_count integer;

  mentioned text;

  -- What either number looks like in a message id, and what replaces it.
  code text;
  blank text;
BEGIN
  -- --- who it is ---------------------------------------------------------------------------

  IF phone IS NULL OR phone NOT BETWEEN 1000000 AND 999999999999999 THEN
    RAISE EXCEPTION 'A phone number has 7 to 15 digits: nothing was done.';
  END IF;

  SELECT count(DISTINCT tied), min(tied) INTO other_count, other_number
    FROM (SELECT split_part(jid, '@', 1) AS tied FROM public.wa_phones
           WHERE phone_number = own_phone OR phone_number = own_number
          UNION
          SELECT ltrim(phone_number, '+') FROM public.wa_phones
           WHERE jid = own_jid
          UNION
          SELECT split_part(jid, '@', 1) FROM public.wa_contacts
           WHERE number = own_phone OR number = own_number
          UNION
          SELECT ltrim(number, '+') FROM public.wa_contacts
           WHERE jid = own_jid) AS ties
   WHERE tied <> own_number AND tied ~ '^[1-9][0-9]{6,14}$';

  IF other_count > 1 THEN
    RAISE EXCEPTION 'This person has more than two numbers: nothing was done.';
  END IF;

  IF other_number IS NOT NULL THEN
    other_id := other_number;
    other_phone := '+' || other_number;
    other_jid := other_number || '@s.whatsapp.net';
    other_zeros := repeat('0', length(other_number));
    other_digits := '(?<![0-9])' || other_number || '(?![0-9])';
    other_ascii := convert_to(other_number, 'UTF8');
    other_bytes := '(?<! 3[0-9])' || regexp_replace(other_number, '(.)', ' 3\1', 'g') || '(?! 3[0-9])';
    other_blank := repeat(' 30', length(other_number));
  END IF;
  mentioned := own_digits || '|' || other_digits;

  -- --- the person's own rows ---------------------------------------------------------------

  DELETE FROM public.queue
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid;

  DELETE FROM public.chats
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR group_creator = own_jid OR group_creator = other_jid;
  DELETE FROM public.group_participants_history
   WHERE jid = own_jid OR jid = other_jid;
  DELETE FROM public.messages
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM public.messages_pending_actions
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM public.messages_receipt_log
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;
  DELETE FROM public.sender_key_distribution_status
   WHERE jid = own_jid OR jid = other_jid;
  DELETE FROM public.receipts
   WHERE key_remote_jid = own_jid OR key_remote_jid = other_jid
      OR remote_resource = own_jid OR remote_resource = other_jid;

  -- The installation's own identity, -1, is no phone number.
  DELETE FROM public.identities
   WHERE recipient_id = phone OR recipient_id = other_id;
  DELETE FROM public.message_base_key
   WHERE msg_key_remote_jid = own_jid OR msg_key_remote_jid = other_jid;
  DELETE FROM public.sender_keys
   WHERE sender_id = phone OR sender_id = other_id;
  DELETE FROM public.sessions
   WHERE recipient_id = phone OR recipient_id = other_id;

  DELETE FROM public.wa_contacts
   WHERE jid = own_jid OR jid = other_jid OR number = own_phone OR number = other_phone;
  DELETE FROM public.wa_phones
   WHERE jid = own_jid OR jid = other_jid OR phone_number = own_phone OR phone_number = other_phone;

  DELETE FROM public.contacts
   WHERE wa_id = own_number OR wa_id = other_number;

  -- --- mentions: JIDs of groups that the person made, and texts ------------------------------

  UPDATE public.queue
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;
  UPDATE public.queue
     SET payload = regexp_replace(
           regexp_replace(payload, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE payload ~ mentioned;

  UPDATE public.chats
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;
  UPDATE public.chats
     SET subject = regexp_replace(
           regexp_replace(subject, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE subject ~ mentioned;
  UPDATE public.group_participants_history
     SET gjid = regexp_replace(
           regexp_replace(gjid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE gjid ~ mentioned;
  UPDATE public.messages
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;
  UPDATE public.messages
     SET data = regexp_replace(
           regexp_replace(data, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE data ~ mentioned;
  UPDATE public.messages
     SET media_url = regexp_replace(
           regexp_replace(media_url, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE media_url ~ mentioned;
  UPDATE public.messages
     SET media_name = regexp_replace(
           regexp_replace(media_name, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE media_name ~ mentioned;
  UPDATE public.messages
     SET media_caption = regexp_replace(
           regexp_replace(media_caption, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE media_caption ~ mentioned;
  UPDATE public.messages
     SET mentioned_jids = regexp_replace(
           regexp_replace(mentioned_jids, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE mentioned_jids ~ mentioned;
  UPDATE public.messages_pending_actions
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;
  UPDATE public.messages_receipt_log
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;
  UPDATE public.sender_key_distribution_status
     SET gjid = regexp_replace(
           regexp_replace(gjid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE gjid ~ mentioned;
  UPDATE public.receipts
     SET key_remote_jid = regexp_replace(
           regexp_replace(key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE key_remote_jid ~ mentioned;

  UPDATE public.message_base_key
     SET msg_key_remote_jid = regexp_replace(
           regexp_replace(msg_key_remote_jid, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE msg_key_remote_jid ~ mentioned;
  UPDATE public.sender_keys
     SET group_id = regexp_replace(
           regexp_replace(group_id, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE group_id ~ mentioned;

  UPDATE public.jobs
     SET parameters = regexp_replace(
           regexp_replace(parameters, own_digits, own_zeros, 'g'), other_digits, other_zeros, 'g')
   WHERE parameters ~ mentioned;

  -- --- mentions: bytes -----------------------------------------------------------------------

  UPDATE public.messages
     SET thumb_image = decode(regexp_replace(regexp_replace(
           regexp_replace(encode(thumb_image, 'hex'), '(..)', ' \1', 'g'),
           own_bytes, own_blank, 'g'),
           other_bytes, other_blank, 'g'), 'hex')
   WHERE position(own_ascii IN thumb_image) > 0
      OR position(other_ascii IN thumb_image) > 0;
  UPDATE public.messages
     SET raw_data = decode(regexp_replace(regexp_replace(
           regexp_replace(encode(raw_data, 'hex'), '(..)', ' \1', 'g'),
           own_bytes, own_blank, 'g'),
           other_bytes, other_blank, 'g'), 'hex')
   WHERE position(own_ascii IN raw_data) > 0
      OR position(other_ascii IN raw_data) > 0;
  UPDATE public.jobs
     SET serialized = decode(regexp_replace(regexp_replace(
           regexp_replace(encode(serialized, 'hex'), '(..)', ' \1', 'g'),
           own_bytes, own_blank, 'g'),
           other_bytes, other_blank, 'g'), 'hex')
   WHERE position(own_ascii IN serialized) > 0
      OR position(other_ascii IN serialized) > 0;

  -- --- mentions: message ids -----------------------------------------------------------------

  -- A message id is base64 of two bytes of flags, a byte 8n, and n bytes of packed decimals,
  -- padded with f: three bytes are four letters, of which the first varies with the flags.
  -- Some lengths of numbers share their last letter of base64 with the byte behind them.
  FOR code, blank IN
    SELECT DISTINCT
           substr(left(encode(decode(frame || number || pad || to_hex(tail) || '0', 'hex'), 'base64'), letters), 2),
           substr(left(encode(decode(frame || zeros || pad || to_hex(tail) || '0', 'hex'), 'base64'), letters), 2)
      FROM (SELECT number, repeat('0', length(number)) AS zeros,
                   '00118' || (length(number) + 1) / 2 AS frame,
                   repeat('f', length(number) % 2) AS pad,
                   ceil((24 + 4 * length(number) + length(number) % 2) / 6.0)::integer AS letters
              FROM unnest(ARRAY[own_number, other_number]) AS number
             WHERE number IS NOT NULL) AS packed,
           generate_series(0, 15) AS tail
  LOOP
    UPDATE public.queue SET payload = replace(payload, code, blank)
     WHERE strpos(payload, code) > 0;
    UPDATE public.messages SET key_id = replace(key_id, code, blank)
     WHERE strpos(key_id, code) > 0;
    UPDATE public.messages_pending_actions SET key_id = replace(key_id, code, blank)
     WHERE strpos(key_id, code) > 0;
    UPDATE public.messages_receipt_log SET key_id = replace(key_id, code, blank)
     WHERE strpos(key_id, code) > 0;
    UPDATE public.receipts SET key_id = replace(key_id, code, blank)
     WHERE strpos(key_id, code) > 0;
    UPDATE public.message_base_key SET msg_key_id = replace(msg_key_id, code, blank)
     WHERE strpos(msg_key_id, code) > 0;
  END LOOP;
END
$routine$;

-- --- clean-up ------------------------------------------------------------------------------

DROP FOREIGN TABLE public.queue;
DROP FOREIGN TABLE public.chats;
DROP FOREIGN TABLE public.group_participants_history;
DROP FOREIGN TABLE public.messages;
DROP FOREIGN TABLE public.messages_pending_actions;
DROP FOREIGN TABLE public.messages_receipt_log;
DROP FOREIGN TABLE public.sender_key_distribution_status;
DROP FOREIGN TABLE public.receipts;
DROP FOREIGN TABLE public.identities;
DROP FOREIGN TABLE public.message_base_key;
DROP FOREIGN TABLE public.sender_keys;
DROP FOREIGN TABLE public.sessions;
DROP FOREIGN TABLE public.jobs;
DROP FOREIGN TABLE public.contacts;

DROP USER MAPPING FOR CURRENT_USER SERVER callbackstore_server;
DROP SERVER callbackstore_server;
DROP USER MAPPING FOR CURRENT_USER SERVER messagestore_server;
DROP SERVER messagestore_server;
DROP USER MAPPING FOR CURRENT_USER SERVER axolotlstore_server;
DROP SERVER axolotlstore_server;
DROP USER MAPPING FOR CURRENT_USER SERVER jobqueuestore_server;
DROP SERVER jobqueuestore_server;
DROP USER MAPPING FOR CURRENT_USER SERVER waweb_server;
DROP SERVER waweb_server;
