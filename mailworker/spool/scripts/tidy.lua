-- needs: clock stream outcomes record shelf sweep
-- ARGV: retention, 1 = also empty what cancelled groups left, which no count needs. Ends what has run out and forgets what is
-- past its retention, some of it: returns 1 if more is left.
-- For people's counts, and now and then where nothing comes or goes: it looks at every row, also where nobody looks because
-- the mailer is paused.

local more, seen = 0, {}
for _, field in ipairs(redis.call('HKEYS', P .. 'count')) do
  local row = string.match(field, '^(.*)/[^/]*$')
  if not seen[row] and end_lapsed(row, 100) == 100 then
    more = 1
  end
  seen[row] = true
end
local function has_heaps()
  return ARGV[2] == '1' and redis.call('EXISTS', P .. 'called-back') == 1
end
if has_to_forget() or has_heaps() then
  tidy(500)
  if has_to_forget() or has_heaps() then
    more = 1
  end
end
write_counts()
return more
