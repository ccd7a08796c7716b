-- A chunk is done item by item: begin that, or enter what its next item gave. What the next item did before counts no more
-- against it. Returns how many of its items are over now, or -1 if there is nothing to do any more. Who comes with another
-- item than the next one, as another node was faster, changes nothing.
-- KEYS: run, run:done, run:chunks, run:pieces, run:attempts, run:events
-- ARGV: chunk, its items that are over ("": begin), piece, event ("": none), node, why, retention_s
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return -1 end
if redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return -1 end
local over = redis.call('HGET', KEYS[4], ARGV[1])
if (over or '') ~= ARGV[2] then return tonumber(over or -1) end
local now = 0
if over then
  now = over + 1
  redis.call('HSET', KEYS[4], ARGV[1] .. ':' .. over, ARGV[3])
end
redis.call('HSET', KEYS[4], ARGV[1], string.format('%d', now))
redis.call('EXPIRE', KEYS[4], ARGV[7])
redis.call('HDEL', KEYS[5], ARGV[1])
if ARGV[4] ~= '' then note(KEYS[6], ARGV[7], ARGV[4], 'chunk', ARGV[1], 'node', ARGV[5], 'why', ARGV[6]) end
return now
