-- A chunk is done item by item: begin that, or enter what its next item gave. What the next item did before counts no more
-- against it. Returns how many of its items are over now, or -1 if there is nothing to do any more. Who comes with another
-- item than the next one, as another node was faster, changes nothing.
-- KEYS: run done chunks pieces attempts events
-- ARGV: chunk over piece event node why
--   over: its items that are over; "" begins
--   event: "" for none
if redis.call('HGET', K.run, 'state') ~= 'running' then return -1 end
if redis.call('GETBIT', K.done, A.chunk) == 1 or redis.call('HEXISTS', K.chunks, A.chunk) == 0 then return -1 end
local over = redis.call('HGET', K.pieces, A.chunk)
if (over or '') ~= A.over then return tonumber(over or -1) end
local retention_s = retention_of(K.run)
local now = 0
if over then
  now = over + 1
  redis.call('HSET', K.pieces, A.chunk .. ':' .. over, A.piece)
end
redis.call('HSET', K.pieces, A.chunk, string.format('%d', now))
redis.call('EXPIRE', K.pieces, retention_s)
redis.call('HDEL', K.attempts, A.chunk)
if A.event ~= '' then note(K.events, retention_s, A.event, 'chunk', A.chunk, 'node', A.node, 'why', A.why) end
return now
