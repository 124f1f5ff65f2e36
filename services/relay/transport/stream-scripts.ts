import type { PublishVariant } from './list-scripts.ts'

/**
 * Trims what every group has done with: below the last entry it was given and below the oldest it has not acknowledged. Without any
 * group nothing has been read. Ids are compared as text, because their parts have more digits than a Lua number.
 */
const TRIM = `
local function precedes (a, b)
  local aTime, aCount = string.match(a, '(%d+)-(%d+)')
  local bTime, bCount = string.match(b, '(%d+)-(%d+)')
  if #aTime ~= #bTime then return #aTime < #bTime end
  if aTime ~= bTime then return aTime < bTime end
  if #aCount ~= #bCount then return #aCount < #bCount end
  return aCount < bCount
end

local function following (id)
  local time, count = string.match(id, '(%d+)-(%d+)')
  if #count > 15 then return id end
  return time .. '-' .. string.format('%.0f', tonumber(count) + 1)
end

local function needed (stream)
  local oldest = nil
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #fields, 2 do group[fields[i]] = fields[i + 1] end
    local from = following(group['last-delivered-id'])
    local pending = redis.call('XPENDING', stream, group['name'])[2]
    if pending and precedes(pending, from) then from = pending end
    if not oldest or precedes(from, oldest) then oldest = from end
  end
  return oldest
end

local function trim (stream, excess)
  local from = needed(stream)
  if not from then return 0 end
  local gone = redis.call('XTRIM', stream, 'MINID', '~', from, 'LIMIT', math.min(excess, 10000))
  local rest = math.min(excess - gone, 200)
  if rest <= 0 then return gone end
  local entries = redis.call('XRANGE', stream, '-', '+', 'COUNT', rest + 1)
  local last = entries[rest + 1]
  if last and precedes(last[1], from) then from = last[1] end
  return gone + redis.call('XTRIM', stream, 'MINID', from)
end
`

/**
 * The list's rules for a stream: entries and watermark move in one step (I3). At the maximum length it adds what fits, which is a
 * prefix, and the watermark says how much that was. Redis ≥ 6.2, Valkey.
 *
 * KEYS  1 the stream   2 its watermarks (hash: term → last number in the stream)
 * ARGV  1 term   2 number of the first element   3 previous term, or ''   4 the previous term's last number
 *       5 pub/sub channel   6 maximum length, 0: none   7… the elements, numbered consecutively; an empty one counts and adds nothing
 * Returns [1 when all elements are in the stream now, 0 when something that comes before them is not, -1 when there was no room for some;
 *         the stream's length; entries trimmed].
 *
 * `~` in the trimming removes whole nodes only, so it stops short of the boundary, and the exact form finishes: without it, one call
 * could remove more than the excess, or block the server for long.
 */
export function streamPublishScript ({ replicated }: Pick<PublishVariant, 'replicated'>): string {
  return `${TRIM}
local first = tonumber(ARGV[2])
local last = first + #ARGV - 7
local watermark = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
local length = redis.call('XLEN', KEYS[1])
if watermark >= last then
  ${replicated ? 'redis.call(\'HSET\', KEYS[2], ARGV[1], watermark)' : ''}
  return { 1, length, 0 }
end
if first > watermark + 1 then return { 0, length, 0 } end
if watermark == 0 and ARGV[3] ~= '' then
  local before = tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or 0)
  if before < tonumber(ARGV[4]) then return { 0, length, 0 } end
end

local start = 8 + watermark - first
local wanted = 0
for i = start, #ARGV do
  if ARGV[i] ~= '' then wanted = wanted + 1 end
end
local limit = tonumber(ARGV[6])
if limit == 0 then limit = math.huge end
local trimmed = 0
if length > 0 and length + wanted > limit then
  trimmed = trim(KEYS[1], length + wanted - limit)
  length = length - trimmed
end

local status = 1
local mark = watermark
for i = start, #ARGV do
  if ARGV[i] ~= '' then
    if length >= limit then
      status = -1
      break
    end
    local id = redis.pcall('XADD', KEYS[1], '*', 'body', ARGV[i])
    if type(id) == 'table' then
      if mark > watermark then redis.call('HSET', KEYS[2], ARGV[1], mark) end
      return id
    end
    length = length + 1
    local payload = string.match(ARGV[i], '"payload":(.*),"timestamp":"[^"]*","retry_count":%d+,"max_retries":%d+}$')
    if payload then redis.pcall('PUBLISH', ARGV[5], payload) end
  end
  mark = first + i - 7
end
if mark > watermark then redis.call('HSET', KEYS[2], ARGV[1], mark) end
return { status, length, trimmed }
`
}
