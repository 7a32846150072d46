-- needs: clock stream outcomes
-- ARGV: retention, lease, and of each of the two mails, whose id is "" if there is none: id, row, name of its lease, its head
-- as it stands, its head from now on up to a time, and what comes behind that, and group or ""; of the first also the domain that a row
-- counts for or "", and the class of its outcome before or ""; of the second also epoch, and slot or "".
-- `done` of one mail and then `mark` of the next, for records that are as the worker knows them. That is nearly all of them, and
-- it takes a tenth of what the general scripts do, which have to read each record (77 us of Lua for each).
-- Returns 1 for what is made, -1 for what has to be asked of the general script, and now.

local lease = tonumber(ARGV[2])

local function lease_ends(row, name)
  local ends = tonumber(redis.call('ZSCORE', P .. 'leases:' .. row, name) or nil)
  return ends and ends > now and ends or nil
end

local function done(id, row, name, known, before, after, group, domain, class)
  local key = P .. 'm:' .. id
  if redis.pcall('GETRANGE', key, 0, #known) ~= known .. '\n' or not lease_ends(row, name) then
    return -1
  end
  local at = stamp(now)
  redis.call('ZREM', P .. 'leases:' .. row, name)
  redis.call('SET', key, before .. at .. after .. '\n')
  redis.call('RPUSH', P .. 'finished', table.concat({ at, id, row, 'sent', group }, '\n'))
  redis.call('HINCRBY', P .. 'count', row .. '/sent', 1)
  if group ~= '' then
    local leased = redis.call('HINCRBY', P .. 'group:' .. group, 'n:leased', -1)
    local sent = redis.call('HINCRBY', P .. 'group:' .. group, 'n:sent', 1)
    if domain ~= '' then
      if class ~= '' then
        count_outcome(group, domain, class, -1)
      end
      count_outcome(group, domain, 'a', 1)
      if leased == 0 or sent == 1 then
        note_settled(group)
      end
    end
  end
  return 1
end

local function mark(id, row, name, known, before, after, group, epoch, slot)
  local key = P .. 'm:' .. id
  local raw = redis.pcall('GET', key)
  if type(raw) ~= 'string' or string.sub(raw, 1, #known + 1) ~= known .. '\n' then
    return -1
  end
  local ends = lease_ends(row, name)
  if
    not ends
    or now + lease < ends
    or (group ~= '' and tonumber(redis.call('HGET', P .. 'group:' .. group, 'epoch') or 0) > tonumber(epoch))
  then
    return -1
  end
  redis.call('SET', key, before .. (after ~= '' and stamp(now) or '') .. after .. string.sub(raw, #known + 1))
  redis.call('ZADD', P .. 'leases:' .. row, stamp(now + lease), name)
  if slot ~= '' then
    local mailer = string.match(row, '^[^/]*/(.*)$')
    redis.call('ZADD', P .. 'sessions:' .. mailer, 'XX', 'GT', stamp(now + lease), slot)
  end
  return 1
end

local made, marked = -1, -1
if ARGV[3] ~= '' then
  made = done(unpack(ARGV, 3, 11))
end
if ARGV[12] ~= '' and (made == 1 or ARGV[3] == '') then
  marked = mark(unpack(ARGV, 12, 20))
end
return { made, marked, stamp(now) }
