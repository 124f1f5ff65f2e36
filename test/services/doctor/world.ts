import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { examineFiles } from '../../../services/doctor/examine.ts'
import type { Subjects } from '../../../services/doctor/examine.ts'
import type { Finding } from '../../../services/doctor/findings.ts'
import { healthCommand } from '../../../services/doctor/expected-numbers.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'

export const CANARY = 'Canary-7Zq'

/** Examines texts as if they were files of their own. */
export async function examine (t: Teardown, texts: { task?: unknown, ssm?: unknown, service?: unknown }, options: Partial<Subjects> = {}): Promise<readonly Finding[]> {
  const directory = await temporaryDirectory(t)
  const save = async (name: string, value: unknown): Promise<string[]> => {
    if (value === undefined) return []
    const file = join(directory, name)
    await writeFile(file, typeof value === 'string' ? value : JSON.stringify(value, null, 2))
    return [file]
  }
  const [taskDefinitions, parameters, services] = await Promise.all([save('task.json', texts.task), save('ssm.json', texts.ssm), save('service.json', texts.service)])
  return await examineFiles({ taskDefinitions, parameters, services, container: null, templateParameters: {}, ...options })
}

/** Codes of what is more than a remark, each once, in alphabetical order. */
export function alarms (findings: readonly Finding[]): string[] {
  return [...new Set(findings.filter(({ severity }) => severity !== 'info').map(({ code }) => code))].sort()
}

export function codesOf (findings: readonly Finding[]): string[] {
  return [...new Set(findings.map(({ code }) => code))].sort()
}

export const secretArn = (name: string): string => `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}`

/** A task definition without any fault, with other values in its container and around it. */
export function goodTask (container: Record<string, unknown> = {}, task: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    family: 'breakwater',
    requiresCompatibilities: ['FARGATE'],
    networkMode: 'awsvpc',
    cpu: '512',
    memory: '1024',
    executionRoleArn: 'arn:aws:iam::123456789012:role/execution',
    containerDefinitions: [{
      name: 'breakwater',
      image: 'breakwater:1.0.0',
      essential: true,
      readonlyRootFilesystem: true,
      portMappings: [{ containerPort: 3000 }],
      environment: [{ name: 'REDIS_URL', value: 'rediss://cache.example.com:6379' }],
      secrets: ['REDIS_AUTH_TOKEN', 'API_KEYS', 'DATABASE_URL'].map((name) => ({ name, valueFrom: secretArn(name) })),
      healthCheck: { command: healthCommand(3000), interval: 10, timeout: 2, retries: 3, startPeriod: 10 },
      stopTimeout: 30,
      logConfiguration: { logDriver: 'awslogs', options: { 'awslogs-group': 'g', 'awslogs-region': 'eu-west-1', 'awslogs-stream-prefix': 'p' } },
      ...container
    }],
    ...task
  }
}

export const variables = (values: Record<string, string>) => Object.entries(values).map(([name, value]) => ({ name, value }))
