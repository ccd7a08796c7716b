-- Enter chunks that are about to be published, and the window they form; with them, what could not be read before them.
-- Returns the run's state, "fenced" (the lease is another's) or "out of step" (the window is not the next one).
-- Only a running run takes them. Asked again, it does nothing.
-- KEYS: run, run:chunks, run:windows, run:failures, run:expected
-- ARGV: fence, window, first chunk, chunks read, items read, bytes, digest, unreadable items, retention_s, failures,
--       then item, reason, ..., then for each chunk its entry and what is expected of its part
local run = redis.call('HMGET', KEYS[1], 'state', 'fence', 'windows_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= ARGV[1] then return 'fenced' end
if tonumber(run[3]) == ARGV[2] + 1 then return 'running' end
if run[3] ~= ARGV[2] then return 'out of step' end
local entries = 11 + 2 * ARGV[10]
for i = 11, entries - 1, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
local count = (#ARGV - entries + 1) / 2
for at = 0, count - 1 do
  redis.call('HSET', KEYS[2], ARGV[3] + at, ARGV[entries + 2 * at])
  redis.call('HSET', KEYS[5], ARGV[3] + at, ARGV[entries + 2 * at + 1])
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3] .. ' ' .. count)
redis.call('HSET', KEYS[1], 'chunks_published', ARGV[3] + count, 'windows_published', ARGV[2] + 1,
  'chunks_read', ARGV[4], 'items_read', ARGV[5], 'bytes_published', ARGV[6], 'digest', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'items_settled', ARGV[8])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[9]) end
return 'running'
