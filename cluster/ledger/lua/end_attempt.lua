-- An attempt at a chunk or a partial ended badly; its claim goes. Returns {state} or {"noted", failed, killed, lost}.
-- KEYS: run done claims attempts events outbox queued
-- ARGV: unit how incarnation node why
--   unit: a chunk, or "partial level:number"
--   how: "failed", "killed", "lost"
local state = redis.call('HGET', K.run, 'state')
if not state then return {'unknown'} end
if state ~= 'running' then return {state} end
if tonumber(A.unit) and redis.call('GETBIT', K.done, A.unit) == 1 then return {'settled'} end
local claim = redis.call('HGET', K.claims, A.unit)
local its_own = claim and string.match(claim, '^%d+ (%S+) ') == A.incarnation
-- A message that a lost node had not begun is no attempt; nor is one that others have begun since.
if A.how == 'lost' and not its_own then return {'not begun'} end
local failed, killed, lost = attempts_of(K.attempts, A.unit)
if not its_own then return {'noted', failed, killed, lost} end -- asked again, or another one is at it: it counts once
redis.call('HDEL', K.claims, A.unit) -- needs no memory, so a full Redis takes what follows, too
if A.how == 'failed' then failed = failed + 1 end
if A.how == 'killed' then killed = killed + 1 end
if A.how == 'lost' then lost = lost + 1 end
local retention_s = retention_of(K.run)
redis.call('HSET', K.attempts, A.unit, failed .. ' ' .. killed .. ' ' .. lost)
redis.call('EXPIRE', K.attempts, retention_s)
redis.call('HINCRBY', K.run, 'retries', 1)
note(K.events, retention_s, A.how, 'chunk', A.unit, 'node', A.node, 'why', A.why)
feed(K.run, K.outbox, K.queued, K.claims) -- its slot is free, though the chunk itself may come again later
return {'noted', failed, killed, lost}
