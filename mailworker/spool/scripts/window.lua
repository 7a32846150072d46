-- When a group's gate is open by the clock.

-- The window that is open, or comes next: from and to; nothing if none comes any more. The one that is kept beside the gate, if it is not over
-- yet; else the first of the following ones that is not, which is kept there then.
local function window_of(group, opens, closes)
  while closes <= now do
    local following = redis.call('LPOP', P .. 'windows:' .. group)
    if not following then
      return nil
    end
    local from, to = string.match(following, '^(.*) (.*)$')
    redis.call('HSET', P .. 'group:' .. group, 'opens', from, 'closes', to)
    opens, closes = tonumber(from), tonumber(to)
  end
  return opens, closes
end
