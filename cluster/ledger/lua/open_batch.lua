-- Enter chunks that are about to be published, and the batch they form; with them, what could not be read before them.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (the batch is not the next one).
-- Only a running run takes them. Asked again, it does nothing.
-- KEYS: run chunks batches failures expected
-- ARGV: fence batch first chunks_read items_read bytes digest unreadable trigger failures rest...
--   first: its first chunk
--   trigger: what starts joining its parts, "chord" or "ledger"
--   failures: how many of the rest are item, reason, ...; then for each chunk its entry and what is expected of its part
local run = redis.call('HMGET', K.run, 'state', 'fence', 'batches_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= A.fence then return 'fenced' end
if tonumber(run[3]) == A.batch + 1 then return 'running' end
if run[3] ~= A.batch then return 'out of step' end
local retention_s = retention_of(K.run)
local entries = FIRST + 2 * A.failures
for i = FIRST, entries - 1, 2 do redis.call('HSET', K.failures, ARGV[i], ARGV[i + 1]) end
local count = (#ARGV - entries + 1) / 2
for at = 0, count - 1 do
  redis.call('HSET', K.chunks, A.first + at, ARGV[entries + 2 * at])
  redis.call('HSET', K.expected, A.first + at, ARGV[entries + 2 * at + 1])
end
redis.call('HSET', K.batches, A.batch, A.first .. ' ' .. count .. ' ' .. A.trigger)
redis.call('HSET', K.run, 'chunks_published', A.first + count, 'batches_published', A.batch + 1,
  'chunks_read', A.chunks_read, 'items_read', A.items_read, 'bytes_published', A.bytes, 'digest', A.digest)
redis.call('HINCRBY', K.run, 'items_settled', A.unreadable)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, retention_s) end
return 'running'
