-- needs: clock stream record shelf sweep
-- ARGV: retention. Ends what has run out and forgets what is past its retention, some of it: returns 1 if more may be left.
-- For people's counts: it looks at every row, also where nobody looks because the mailer is paused.

local more, seen = 0, {}
for _, field in ipairs(redis.call('HKEYS', P .. 'count')) do
  local row = string.match(field, '^(.*)/[^/]*$')
  if not seen[row] and end_lapsed(row, 100) == 100 then
    more = 1
  end
  seen[row] = true
end
if has_to_forget() then
  tidy(500)
  more = 1
end
write_counts()
return more
