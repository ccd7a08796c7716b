-- Allow one second copy of a chunk whose node is slow. Returns 1 if it is allowed now.
-- KEYS: run, run:chunks, run:copies, run:events
-- ARGV: fence, chunk, slow node, why, retention_s
local run = redis.call('HMGET', KEYS[1], 'state', 'fence')
if run[1] ~= 'running' or run[2] ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 0 end
if redis.call('HSETNX', KEYS[3], ARGV[2], ARGV[3]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[3], ARGV[5])
note(KEYS[4], ARGV[5], 'copied', 'chunk', ARGV[2], 'node', ARGV[3], 'why', ARGV[4])
return 1
