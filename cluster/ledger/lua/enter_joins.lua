-- The second half of a round that goes by a tree: chunks that join the parts of a site are entered, in the round's own batch.
-- All at once; asked again, it does nothing.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (it is not the open round, or its batch is
-- another one by now).
-- KEYS: run chunks batches parts places opened
-- ARGV: fence round batch first state rest...
--   first: the number of the first of these chunks
--   state: JSON
--   rest: of each chunk its place (only nodes that name it claim the chunk), its first shard and its entry
local run = redis.call('HMGET', K.run, 'state', 'fence', 'round', 'chunks_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= A.fence then return 'fenced' end
local first, count, trigger = batch_of(redis.call('HGET', K.batches, A.batch))
if not run[3] or run[3] + 1 ~= tonumber(A.round) or trigger ~= 'driver' then return 'out of step' end
local joins = (#ARGV - FIRST + 1) / 3
if first + count == A.first + joins then return 'running' end
if first + count ~= tonumber(A.first) or run[4] ~= A.first then return 'out of step' end
-- It was complete, and is so once more when they are settled.
if redis.call('HLEN', K.parts) == count then redis.call('HINCRBY', K.run, 'batches_complete', -1) end
local shards = {}
for i = FIRST, #ARGV, 3 do
  local chunk = A.first + #shards
  redis.call('HSET', K.chunks, chunk, ARGV[i + 2])
  redis.call('HSET', K.places, chunk, ARGV[i])
  shards[#shards + 1] = ARGV[i + 1]
end
redis.call('HSET', K.batches, A.batch, first .. ' ' .. count + joins .. ' driver')
redis.call('HSET', K.run, 'chunks_published', A.first + joins, 'model_state', A.state)
redis.call('XADD', K.opened, 'MAXLEN', '~', MOST_LINES, '*', 'round', A.round, 'batch', A.batch, 'first', A.first,
  'shards', table.concat(shards, ' '))
local retention_s = retention_of(K.run)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, retention_s) end
return 'running'
