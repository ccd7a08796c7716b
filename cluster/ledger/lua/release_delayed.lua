-- Put messages whose delay is over into their queues, in front: they are older than what waits there. Feed the runs
-- whose turn it is. Returns how many messages were delayed.
-- It touches the queues that the members name, too, and what `feed` touches of the runs.
-- KEYS: delayed due
-- ARGV: most far_ms
--   most: messages, and runs, at most
--   far_ms: a delay that is further off is over, as the clock was set back
local function due(from, to) return by_score(K.delayed, from, to, 'LIMIT', 0, A.most) end
local now = now_ms()
local found = due('-inf', string.format('%.0f', now))
if #found == 0 then found = due(string.format('(%.0f', now + A.far_ms), '+inf') end
for _, member in ipairs(found) do
  redis.call('ZREM', K.delayed, member) -- needs no memory, so a full Redis takes what follows, too
  local queue, message = string.match(member, '^([^\n]+)\n(.*)$')
  if queue then redis.pcall('RPUSH', queue, message) end -- a forged name must not hold up the others
end
for _, name in ipairs(by_score(K.due, '-inf', string.format('%.0f', now), 'LIMIT', 0, A.most)) do
  redis.call('ZREM', K.due, name)
  local run = RUN .. name
  pcall(feed, run, run .. ':outbox', run .. ':queued', run .. ':claims') -- its name, or row, may be forged
end
return #found
