import type { DevRedis } from './redis.ts'

export interface BannerFacts { url: string, redis: DevRedis, database: string }

const EXAMPLE = {
  model_name: 'churn',
  version: '1',
  token_id: 'hok-churn',
  metric_name: 'auc',
  baseline_value: 0.8,
  current_value: 0.86
}

/** What a developer needs after the start: where things are, what to try, how to make an outage. */
export function banner ({ url, redis, database }: BannerFacts): string {
  const environment = redis.url === null ? '' : `REDIS_URL=${redis.url} `
  const outage = redis.pid === null
    ? []
    : ['', 'Make an outage (frozen, then back). Registrations stay 201, and nothing is lost:',
        `  kill -STOP ${redis.pid}`, `  kill -CONT ${redis.pid}`]
  return [
    '',
    'Breakwater runs.',
    '',
    `  service   ${url}/models`,
    `  health    ${url}/health`,
    `  Redis     ${redis.url === null ? '' : `${redis.url} `}${redis.description}`,
    `  journal   ${database}`,
    '',
    'Register a model:',
    `  curl -s ${url}/models -H 'content-type: application/json' -d '${JSON.stringify(EXAMPLE)}'`,
    '',
    'Watch the queue:',
    `  ${environment}npm run consume`,
    ...outage,
    '',
    'Ctrl-C stops everything that was started here.',
    ''
  ].join('\n')
}
