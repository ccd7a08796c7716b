-- An incarnation gives up claims without an attempt: those that are still its own. Returns 1.
-- KEYS: run claims queued
-- ARGV: incarnation again units...
--   again: 1 where their messages are to come again: then they count as on their way, and no others are published in
--   their place
--   units: chunks, or "partial level:number"
for i = FIRST, #ARGV do release_claim(K.run, K.claims, K.queued, A.incarnation, ARGV[i], A.again == '1') end
return 1
