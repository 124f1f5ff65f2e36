import { byId, element, table } from './dom.js'

const SOURCES = { environment: 'environment', default: 'default', unset: 'not set', invalid: 'default, because the environment states an invalid value' }

export function renderConfiguration ({ state: { configuration: { variables, redis } } }) {
  const parts = Object.entries(Object.groupBy(variables, ({ section }) => section)).map(([section, group]) =>
    element('details', { open: false }, element('summary', {}, `${section} (${group.length})`), variablesTable(section, group)))
  byId('configuration').replaceChildren(...redis === null ? [] : [redisLine(redis)], ...parts)
}

function variablesTable (section, variables) {
  const rows = variables.map(({ name, value, source, description }) => [
    element('code', {}, name),
    value === null ? '–' : element('code', {}, value),
    SOURCES[source] ?? source,
    description
  ])
  return table(`Variables: ${section}`, ['Variable', 'Value', 'From', 'What it does'], rows)
}

function redisLine ({ state, url, sources }) {
  if (url === null) return element('p', {}, `Redis is ${state}.`)
  const origins = Object.entries(sources).map(([part, source]) => `${part} from ${source}`).join(', ')
  return element('p', {}, 'Redis: ', element('code', {}, url), ` (${origins})`)
}
