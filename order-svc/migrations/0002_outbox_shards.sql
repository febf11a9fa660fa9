-- The outbox is read in eight parts, so that several relays can share the work.
-- A user belongs to one of them; the number is also in relay_shards.h.
ALTER TABLE outbox
  ADD COLUMN shard TINYINT AS (user_id MOD 8) STORED,
  ADD KEY shard_order (shard, id);
