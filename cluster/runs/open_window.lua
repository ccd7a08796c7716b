-- Enter chunks that are about to be published, and the window they form. Returns the run's state; only a running run takes them.
-- KEYS: run, run:chunks, run:windows
-- ARGV: window, first chunk, retention_s, then an entry for each chunk
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state ~= 'running' then return state end
local count = #ARGV - 3
for i = 1, count do redis.call('HSET', KEYS[2], ARGV[2] + i - 1, ARGV[3 + i]) end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ' ' .. count)
redis.call('HSET', KEYS[1], 'chunks_published', ARGV[2] + count)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[3]) end
return state
