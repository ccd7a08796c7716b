-- Chunks of one batch are over: of each the first commit wins, or it is given up. Returns the state of a run that is
-- not running, or for each chunk "settled now", "settled", "late" (its round is closed) or "unknown", and at last, if the
-- batch is complete now and a node is to join its parts, "complete" and its trigger.
-- The only place where repeats of a chunk are dropped. A chunk that is not in the batch is unknown: after Redis has lost
-- its last moments the batches of a run may be entered anew, with other chunks.
-- A run in rounds waits for each chunk that is settled (`arrivals`), and asks for a chunk that failed again in the next round:
-- no item is missing for that.
-- The timeline gets a line for the whole call: the chunks of a message are done by one slot.
-- KEYS: run done claims chunks parts failures where nodes times attempts speculative batches events outbox queued pieces arrivals late timeline
-- ARGV: batch node rows...
--   rows: for each chunk: chunk, part ("": given up), items, bytes, microseconds, why ("": not given up), number of
--   failures, then item, reason, ...
local run = redis.call('HMGET', K.run, 'state', 'round')
if not run[1] then return {'unknown'} end
if run[1] ~= 'running' then return {run[1]} end
local in_rounds = run[2]
local retention_s = retention_of(K.run)
local first, count, trigger = batch_of(redis.call('HGET', K.batches, A.batch))
local answer, settled, duplicates, items, bytes, parts, micros, missing = {}, 0, 0, 0, 0, 0, 0, 0
local claimed_ms, lowest, highest
local at = FIRST
while at <= #ARGV do
  local chunk, part, why = ARGV[at], ARGV[at + 1], ARGV[at + 5]
  local failures = at + 7
  local after = failures + 2 * ARGV[at + 6]
  if redis.call('GETBIT', K.done, chunk) == 1 then
    if in_rounds and redis.call('SREM', K.late, chunk) == 1 then
      redis.call('HINCRBY', K.run, 'late_committed', 1)
    else
      duplicates = duplicates + 1
    end
    answer[#answer + 1] = in_rounds and not trigger and 'late' or 'settled'
  elseif chunk - first < 0 or chunk - first >= count or redis.call('HDEL', K.chunks, chunk) == 0 then
    answer[#answer + 1] = 'unknown'
  else
    redis.call('SETBIT', K.done, chunk, 1)
    -- A chunk given up has a row as well, so that a partial can tell it from one whose part was lost.
    redis.call('HSET', K.parts, chunk, part)
    settled, items, bytes, missing = settled + 1, items + ARGV[at + 2], bytes + ARGV[at + 3], missing + ARGV[at + 6]
    local since_ms = (in_rounds or not claimed_ms) and string.match(redis.call('HGET', K.claims, chunk) or '', '^%d+')
    claimed_ms = claimed_ms or since_ms
    lowest, highest = math.min(chunk, lowest or chunk), math.max(chunk, highest or chunk)
    if why ~= '' then
      note(K.events, retention_s, 'dead-lettered', 'chunk', chunk, 'node', A.node, 'why', why)
    else
      parts, micros = parts + 1, micros + ARGV[at + 4]
    end
    if in_rounds then
      since_ms = since_ms or string.format('%.0f', now_ms())
      redis.call('XADD', K.arrivals, 'MAXLEN', '~', MOST_LINES, '*', 'chunk', chunk, 'since_ms', since_ms, 'node', A.node, 'why', why)
    else
      for i = failures, after - 1, 2 do
        redis.call('HSET', K.failures, ARGV[i], ARGV[i + 1])
        redis.call('HSET', K.where, ARGV[i], A.node)
      end
    end
    forget_chunk(chunk, K.queued, K.pieces, K.claims, K.attempts, K.speculative)
    answer[#answer + 1] = 'settled now'
  end
  at = after
end
if duplicates > 0 then redis.call('HINCRBY', K.run, 'duplicates', duplicates) end
if settled == 0 then return answer end
redis.call('HINCRBY', K.run, 'chunks_settled', settled)
redis.call('HINCRBY', K.run, 'items_settled', items)
redis.call('HINCRBY', K.run, 'bytes_settled', bytes)
if redis.call('HLEN', K.parts) == count then
  redis.call('HINCRBY', K.run, 'batches_complete', 1)
  if trigger ~= 'driver' then
    answer[#answer + 1] = 'complete'
    answer[#answer + 1] = trigger
  end
end
if parts > 0 then
  -- The chunks done last count most: later ones are likely to be as large.
  local mean_us, chunk_us = micros / parts, tonumber(redis.call('HGET', K.run, 'chunk_us'))
  if chunk_us then mean_us = chunk_us + (mean_us - chunk_us) * math.min(1, parts / 8) end
  redis.call('HSET', K.run, 'chunk_us', string.format('%.0f', mean_us))
  redis.call('HINCRBY', K.times, A.node, micros)
  if redis.call('HINCRBY', K.nodes, A.node, parts) == parts then
    note(K.events, retention_s, 'first-part', 'node', A.node)
  end
end
redis.call('XADD', K.timeline, 'MAXLEN', '~', MOST_ROWS, '*', 'node', A.node, 'since_ms', claimed_ms or '',
  'first', lowest, 'last', highest, 'items', items, 'missing', missing)
feed(K.run, K.outbox, K.queued, K.claims)
-- Whatever becomes of the run, its keys do not stay for ever.
for _, key in ipairs({K.run, K.done, K.parts, K.failures, K.where, K.nodes, K.times, K.arrivals, K.timeline}) do
  redis.call('EXPIRE', key, retention_s)
end
return answer
