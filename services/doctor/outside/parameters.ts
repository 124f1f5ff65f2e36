import { variableNames } from '../../config/schema.ts'
import { isOwnSecret, hasPassword } from '../secret-names.ts'
import { findParameter, nameIn, variableOf } from '../documents/parameters.ts'
import type { Parameter, Parameters } from '../documents/parameters.ts'
import type { Findings } from '../findings.ts'
import type { Variable } from '../variables.ts'
import type { Context } from '../rules/context.ts'

const known: readonly string[] = variableNames
/** The quotation marks of a shell, blanks, and what was to be filled in. */
const NOT_A_VALUE = /^\s*$|^(["']).*\1$|^(change|replace)[-_ ]?me$|^<.*>$|^(todo|tbd|none|null|undefined|placeholder|dummy)$/i

/** The parameters that have names of ours, or that a task takes its variables from. */
export function ownParameters ({ list }: Parameters, contexts: readonly Context[]): Parameter[] {
  const referred = new Set(contexts.flatMap(({ surroundings }) => surroundings.variables.map(({ entry }) => nameIn(entry.at('valueFrom').text ?? ''))))
  return list.filter(({ name, variable }) => known.includes(variable) || isOwnSecret(variable) || referred.has(name.replace(/^\//, '')))
}

/** As variables of a container that is not known. */
export function asVariables (parameters: readonly Parameter[]): Variable[] {
  return parameters.map(({ variable, field, value }) => ({ name: variable, origin: 'environment', entry: field, field: value ?? field.at('Value'), value: value?.pattern ?? null }))
}

export function checkParameter (findings: Findings, { variable, name, field, value }: Parameter): void {
  const text = value?.text ?? null
  if (isOwnSecret(variable) || (/^(REDIS_URL|DATABASE_URL)$/.test(variable) && text !== null && hasPassword(text))) {
    findings.add('FST_BRK_ECS_SSM_SECRET', field.at('Name'), {
      explanation: `${name} is a secret in an SSM parameter. Secrets come from Secrets Manager, which rotates them and has its own permissions.`,
      corrected: `aws secretsmanager create-secret --name NAME; then "secrets": [{ "name": "${variable}", "valueFrom": "its ARN" }], and delete the parameter`
    })
  }
  if (text !== null && NOT_A_VALUE.test(text)) {
    findings.add('FST_BRK_ECS_SSM_BLANK', field.at('Value'), {
      explanation: `The value of ${name} is ${text.trim() === '' ? 'blank, which counts as not set' : 'a placeholder or in quotation marks, which belong to the value'}.`,
      corrected: `aws ssm put-parameter --overwrite --name ${name} --value ${variable === 'REDIS_URL' ? 'rediss://HOST:6379' : 'VALUE'}`
    })
  }
  if (field.at('Type').text === 'StringList') {
    findings.add('FST_BRK_ECS_SSM_TYPE', field.at('Type'), { explanation: `${name} is a StringList.`, corrected: '"Type": "String"' })
  }
}

/** Asked for and not there; or referred to, and not among its siblings of the same path. */
export function checkMissing (findings: Findings, parameters: Parameters, contexts: readonly Context[]): void {
  for (const field of parameters.missing) {
    const name = field.text ?? ''
    if (!known.includes(variableOf(name)) && !isReferred(name, contexts)) continue
    findings.add('FST_BRK_ECS_SSM_MISSING', field, missing(name))
  }
  const folders = new Set(parameters.list.map(({ name }) => folderOf(name)))
  for (const { container, surroundings } of contexts) {
    for (const { entry } of surroundings.variables) {
      const from = entry.at('valueFrom')
      if (from.text === null || !isParameter(from.text)) continue
      const name = nameIn(from.text)
      if (findParameter(parameters, from.text) !== null || !name.includes('/') || !folders.has(folderOf(name))) continue
      findings.add('FST_BRK_ECS_SSM_MISSING', from, { ...missing(`/${name}`), container: container.at('name').text })
    }
  }
}

function missing (name: string) {
  return {
    explanation: `The parameter ${name} does not exist: the task stops with ResourceInitializationError before its container starts.`,
    corrected: `aws ssm put-parameter --name ${name} --type String --value VALUE`
  }
}

function isParameter (reference: string): boolean {
  return /^arn:[^:]+:ssm:/.test(reference) || !reference.startsWith('arn:')
}

function isReferred (name: string, contexts: readonly Context[]): boolean {
  return contexts.some(({ surroundings }) => surroundings.variables.some(({ entry }) => nameIn(entry.at('valueFrom').text ?? '') === name.replace(/^\//, '')))
}

function folderOf (name: string): string {
  return name.replace(/^\//, '').split('/').slice(0, -1).join('/')
}
