-- Take over a bundle of the version before: all its versions, their pieces, and which of them is current.
-- Returns "done", "changed" (read it again), "gone", or "twice" where this version has one of that name.
-- A full Redis refuses the first write of a script only if it needs memory: so renaming comes first.
-- KEYS: older_bundles older_bundle older_digests bundles bundle digests revision
-- ARGV: name versions blobs...
--   versions: how many versions the caller has seen
--   blobs: of each of them the key of its pieces, and what that is to be called
local row = redis.call('HGET', K.older_bundles, A.name)
if not row then return 'gone' end
if redis.call('HEXISTS', K.bundles, A.name) == 1 then return 'twice' end
if redis.call('HLEN', K.older_bundle) ~= tonumber(A.versions) then return 'changed' end
local function rename(from, to)
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end
for at = FIRST, #ARGV, 2 do rename(ARGV[at], ARGV[at + 1]) end
rename(K.older_bundle, K.bundle)
rename(K.older_digests, K.digests)
redis.call('HDEL', K.older_bundles, A.name)
redis.call('HSET', K.bundles, A.name, row)
redis.call('HINCRBY', K.bundles, '#revision', 1)
redis.call('INCR', K.revision)
return 'done'
