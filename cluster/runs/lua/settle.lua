-- Chunks of one window are over: of each the first commit wins, or it is set aside. Returns the state of a run that is
-- not running, or for each chunk "settled now", "settled" or "unknown", and at last "complete" if the window is now.
-- The only place where repeats of a chunk are dropped. A chunk that is not in the window is unknown: after Redis has lost
-- its last moments the windows of a run may be entered anew, with other chunks.
-- KEYS: run, run:done, run:claims, run:chunks, run:parts:W, run:failures, run:nodes, run:times, run:attempts, run:copies,
--       run:windows, run:events, run:outbox, run:queued, run:pieces, and the queue of its
--       label
-- ARGV: window, node, start, retention_s, then for each chunk: chunk, part ("" = set aside), items, bytes,
--       microseconds, why ("" = not set aside), number of failures, then item, reason, ...
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'unknown'} end
if state ~= 'running' then return {state} end
local first, count = string.match(redis.call('HGET', KEYS[11], ARGV[1]) or '0 0', '^(%d+) (%d+)$')
local answer, settled, duplicates, items, bytes, parts, micros = {}, 0, 0, 0, 0, 0, 0
local at = 5
while at <= #ARGV do
  local chunk, part, why = ARGV[at], ARGV[at + 1], ARGV[at + 5]
  local failures = at + 7
  local after = failures + 2 * ARGV[at + 6]
  if redis.call('GETBIT', KEYS[2], chunk) == 1 then
    duplicates = duplicates + 1
    answer[#answer + 1] = 'settled'
  elseif chunk - first < 0 or chunk - first >= count + 0 or redis.call('HDEL', KEYS[4], chunk) == 0 then
    answer[#answer + 1] = 'unknown'
  else
    redis.call('SETBIT', KEYS[2], chunk, 1)
    -- A chunk set aside has a row as well, so that a fold can tell it from one whose part was lost.
    redis.call('HSET', KEYS[5], chunk, part)
    settled, items, bytes = settled + 1, items + ARGV[at + 2], bytes + ARGV[at + 3]
    if why ~= '' then
      note(KEYS[12], ARGV[4], 'set-aside', 'chunk', chunk, 'node', ARGV[2], 'why', why)
    else
      parts, micros = parts + 1, micros + ARGV[at + 4]
    end
    for _, key in ipairs({KEYS[3], KEYS[9], KEYS[10]}) do redis.call('HDEL', key, chunk) end
    redis.call('SREM', KEYS[14], chunk) -- the message of a second copy may be lost
    local over = redis.call('HGET', KEYS[15], chunk)
    if over then
      redis.call('HDEL', KEYS[15], chunk)
      for item = 0, over - 1 do redis.call('HDEL', KEYS[15], chunk .. ':' .. item) end
    end
    for i = failures, after - 1, 2 do redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 1]) end
    answer[#answer + 1] = 'settled now'
  end
  at = after
end
if duplicates > 0 then redis.call('HINCRBY', KEYS[1], 'duplicates', duplicates) end
if settled == 0 then return answer end
redis.call('HINCRBY', KEYS[1], 'chunks_settled', settled)
redis.call('HINCRBY', KEYS[1], 'items_settled', items)
redis.call('HINCRBY', KEYS[1], 'bytes_settled', bytes)
if redis.call('HLEN', KEYS[5]) == count + 0 then
  redis.call('HINCRBY', KEYS[1], 'windows_complete', 1)
  answer[#answer + 1] = 'complete'
end
if parts > 0 then
  -- The chunks done last count most: later ones are likely to be as large.
  local mean_us, chunk_us = micros / parts, tonumber(redis.call('HGET', KEYS[1], 'chunk_us'))
  if chunk_us then mean_us = chunk_us + (mean_us - chunk_us) * math.min(1, parts / 8) end
  redis.call('HSET', KEYS[1], 'chunk_us', string.format('%.0f', mean_us))
  redis.call('HINCRBY', KEYS[8], ARGV[2], micros)
  if redis.call('HINCRBY', KEYS[7], ARGV[2], parts) == parts then
    note(KEYS[12], ARGV[4], 'first-part', 'node', ARGV[2])
  end
end
feed(KEYS[1], KEYS[13], KEYS[14], KEYS[3], ARGV[4])
-- Whatever becomes of the run, its keys do not stay for ever.
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[6], KEYS[7], KEYS[8]}) do redis.call('EXPIRE', key, ARGV[4]) end
return answer
