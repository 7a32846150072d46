-- needs: clock stream outcomes record
-- Returns now, the counts (field, number, ...; "later" counts those of "due" that are not ready yet), since when the oldest mail has been ready or "", and the mailers that have a gate or mails.

local oldest
local function seen(first)
  local at = tonumber(first[2])
  if at and (not oldest or at < oldest) then
    oldest = at
  end
end
local counts = redis.call('HGETALL', P .. 'count')
local mailers = {}
for _, mailer in ipairs(redis.call('ZRANGE', P .. 'mailers', 0, -1)) do
  mailers[mailer] = true
end
for i = 1, #counts, 2 do
  local row = string.match(counts[i], '^(.*)/[^/]*$')
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  mailers[mailer] = true
  if string.sub(counts[i], -4) == '/due' then
    -- Every row has this field, since every mail was due once.
    counts[#counts + 1] = row .. '/leased'
    counts[#counts + 1] = redis.call('ZCARD', P .. 'leases:' .. row)
    local later = 0
    for _, stream in ipairs(redis.call('SMEMBERS', P .. 'streams:' .. row)) do
      local due = P .. 'due:' .. row .. ':' .. stream
      seen(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES'))
      later = later + redis.call('ZCOUNT', due, '(' .. stamp(now), '+inf')
    end
    counts[#counts + 1] = row .. '/later'
    counts[#counts + 1] = later
  end
end
local names = {}
for mailer in pairs(mailers) do
  names[#names + 1] = mailer
end
return { stamp(now), counts, oldest and stamp(oldest) or '', names, redis.call('SMEMBERS', P .. 'gates') }
