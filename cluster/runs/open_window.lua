-- Enter chunks that are about to be published, and the window they form. Returns the run's state; only a running run takes them.
-- KEYS: run, run:chunks, run:windows
-- ARGV: window, first chunk, bytes, retention_s, then an entry for each chunk
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
local count = #ARGV - 4
for i = 1, count do redis.call('HSET', KEYS[2], ARGV[2] + i - 1, ARGV[4 + i]) end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ' ' .. count)
redis.call('HSET', KEYS[1], 'chunks_published', ARGV[2] + count, 'windows_published', ARGV[1] + 1)
redis.call('HINCRBY', KEYS[1], 'bytes_published', ARGV[3])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
return state
