-- Begin the rounds of a run: its shards, its first state and the chunks of round 0 are entered, all at once; with them, what
-- could not be read of its input, which is read to its end.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (it has batches that are no rounds).
-- Asked again, it does nothing.
-- KEYS: run shards chunks batches opened failures events
-- ARGV: fence chunks_read items_read bytes digest unreadable planned state views shards failures rest...
--   planned: rounds in all
--   state, views: JSON
--   shards, failures: how many there are in the rest: shards; then item, reason, ...; then of each chunk its batch, its
--   shard and its entry
local run = redis.call('HMGET', K.run, 'state', 'fence', 'round', 'batches_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= A.fence then return 'fenced' end
if run[3] then return 'running' end
if run[4] ~= '0' then return 'out of step' end
local failures = FIRST + A.shards
local turns = failures + 2 * A.failures
for i = FIRST, failures - 1 do redis.call('HSET', K.shards, i - FIRST, ARGV[i]) end
for i = failures, turns - 1, 2 do redis.call('HSET', K.failures, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', K.run, 'round', -1, 'model_state', A.state, 'views', A.views, 'chunks_read', A.chunks_read,
  'items_read', A.items_read, 'bytes_published', A.bytes, 'digest', A.digest)
redis.call('HINCRBY', K.run, 'items_settled', A.unreadable)
enter_turns(K.run, K.chunks, K.batches, K.opened, 0, ARGV, turns)
local _, count = batch_of(redis.call('HGET', K.batches, 0))
expect_rounds(K.run, A.planned, count)
local retention_s = retention_of(K.run)
note(K.events, retention_s, 'input-read', 'why', A.shards - 1 .. ' shards, ' .. A.items_read .. ' items')
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, retention_s) end
return 'running'
