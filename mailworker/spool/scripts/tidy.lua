-- needs: clock record shelf sweep
-- ARGV: retention. Ends what has run out and forgets what is past its retention, some of it: returns 1 if more may be left.

local more = 0
for _, row in ipairs(redis.call('ZRANGEBYSCORE', P .. 'soon', '-inf', stamp(now))) do
  if end_lapsed(row, 100) == 100 then
    more = 1
  end
end
tidy(500)
write_counts()
if has_to_forget() then
  more = 1
end
return more
