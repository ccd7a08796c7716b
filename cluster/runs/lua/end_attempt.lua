-- An attempt at a chunk or a fold ended badly; its claim goes. Returns {state} or {"noted", failed, killed, lost}.
-- KEYS: run, run:done, run:claims, run:attempts, run:events, run:outbox, run:queued, and the queue of its label
-- ARGV: chunk or "fold level:number", how ("failed", "killed", "lost"), start, node, why, retention_s
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'unknown'} end
if state ~= 'running' then return {state} end
if tonumber(ARGV[1]) and redis.call('GETBIT', KEYS[2], ARGV[1]) == 1 then return {'settled'} end
local claim = redis.call('HGET', KEYS[3], ARGV[1])
local its_own = claim and string.match(claim, '^%d+ (%S+) ') == ARGV[3]
-- A message that a lost node had not begun is no attempt; nor is one that others have begun since.
if ARGV[2] == 'lost' and not its_own then return {'not begun'} end
local failed, killed, lost = attempts_of(KEYS[4], ARGV[1])
if not its_own then return {'noted', failed, killed, lost} end -- asked again, or another one is at it: it counts once
redis.call('HDEL', KEYS[3], ARGV[1]) -- needs no memory, so a full Redis takes what follows, too
if ARGV[2] == 'failed' then failed = failed + 1 end
if ARGV[2] == 'killed' then killed = killed + 1 end
if ARGV[2] == 'lost' then lost = lost + 1 end
redis.call('HSET', KEYS[4], ARGV[1], failed .. ' ' .. killed .. ' ' .. lost)
redis.call('EXPIRE', KEYS[4], ARGV[6])
redis.call('HINCRBY', KEYS[1], 'retries', 1)
note(KEYS[5], ARGV[6], ARGV[2], 'chunk', ARGV[1], 'node', ARGV[4], 'why', ARGV[5])
feed(KEYS[1], KEYS[6], KEYS[7], KEYS[3], ARGV[6]) -- its slot is free, though the chunk itself may come again later
return {'noted', failed, killed, lost}
