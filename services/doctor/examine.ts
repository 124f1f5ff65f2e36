import { Field } from './documents/field.ts'
import { findParameter, readParameters } from './documents/parameters.ts'
import type { Parameters } from './documents/parameters.ts'
import { readDocument } from './documents/read-document.ts'
import { readTaskDefinitions, serviceContainers } from './documents/task-definitions.ts'
import type { TaskDefinition } from './documents/task-definitions.ts'
import { DocumentUnreadable } from './errors.ts'
import { Findings } from './findings.ts'
import type { Finding } from './findings.ts'
import { checkContainer } from './rules/container.ts'
import { Context } from './rules/context.ts'
import { checkHealth } from './rules/health-check.ts'
import { checkLogs } from './rules/logs.ts'
import { checkNetwork } from './rules/network.ts'
import { asVariables, checkMissing, checkParameter, ownParameters } from './outside/parameters.ts'
import { checkAddresses } from './rules/redis-address.ts'
import { checkResources } from './rules/resources.ts'
import { checkSecrets } from './rules/secrets.ts'
import { checkService, readServices, runs } from './outside/service.ts'
import { checkStopping } from './rules/stopping.ts'
import { checkStorage } from './rules/storage.ts'
import { checkTargetGroup, readTargetGroups, targetGroupsOf } from './outside/target-group.ts'
import { checkTemplateParameters } from './outside/template-parameters.ts'
import { checkVariables } from './rules/variables.ts'
import { loadVariables, readVariables } from './variables.ts'

/** What to examine; each is the name of a file. */
export interface Subjects {
  taskDefinitions: readonly string[]
  parameters: readonly string[]
  services: readonly string[]
  /** Name of the container that runs the service. Default: the one that looks like it. */
  container: string | null
  /** Values of a template's parameters; without them their defaults. */
  templateParameters: Record<string, string>
}

/** The order in which a reader meets them. */
const containerRules = [
  checkVariables, checkSecrets, checkAddresses, checkHealth, checkStopping, checkNetwork, checkResources, checkStorage, checkLogs, checkContainer
]

/** Everything that is wrong with these files. Reads nothing else and never throws: a file that cannot be read is a finding. */
export async function examineFiles (subjects: Subjects): Promise<readonly Finding[]> {
  const findings = new Findings()
  const read = (files: readonly string[]) => readAll(findings, files, subjects.templateParameters)
  const [definitions, exported, described] = await Promise.all([read(subjects.taskDefinitions), read(subjects.parameters), read(subjects.services)])
  for (const document of definitions) checkTemplateParameters(findings, document, subjects.templateParameters)
  const parameters = readExports(findings, exported)
  const contexts = definitions.flatMap((document) => contextsOf(findings, document, subjects.container, parameters))
  for (const context of contexts) for (const check of containerRules) check(context)
  examineServices(findings, described, definitions, contexts)
  if (parameters !== null) examineParameters(findings, parameters, contexts)
  return findings.list
}

async function readAll (findings: Findings, files: readonly string[], templateParameters: Record<string, string>): Promise<Field[]> {
  const read = await Promise.all(files.map(async (file) => await readDocument(file, templateParameters).catch((err) => {
    if (!(err instanceof DocumentUnreadable)) throw err
    const nowhere = new Field({ file, original: null, lineOf: () => null }, [], null)
    findings.add('FST_BRK_ECS_FILE', nowhere, { explanation: err.message, corrected: 'A file in JSON or YAML, as the AWS command line prints it' })
    return null
  })))
  return read.filter((document) => document !== null)
}

function contextsOf (findings: Findings, document: Field, wanted: string | null, parameters: Parameters | null): Context[] {
  const tasks = readTaskDefinitions(document)
  if (tasks.length === 0) {
    findings.add('FST_BRK_ECS_NO_TASK_DEFINITION', document, {
      explanation: 'There are neither containerDefinitions nor a resource AWS::ECS::TaskDefinition.',
      corrected: 'Input of register-task-definition, output of describe-task-definition, or a CloudFormation template (cdk synth)'
    })
  }
  const contexts = tasks.flatMap((task) => serviceContainers(task, wanted, tasks.length === 1).map((container) => contextOf(findings, task, container, parameters)))
  if (contexts.length === 0 && tasks.length > 0) reportNobody(findings, document, tasks, wanted)
  return contexts
}

function contextOf (findings: Findings, task: TaskDefinition, container: Field, parameters: Parameters | null): Context {
  const surroundings = readVariables(container, (reference) => parameters === null ? null : findParameter(parameters, reference)?.value ?? null)
  return new Context(findings, task, container, surroundings, loadVariables(surroundings))
}

function reportNobody (findings: Findings, document: Field, tasks: readonly TaskDefinition[], wanted: string | null): void {
  const names = tasks.flatMap(({ containers }) => containers.map((container) => container.at('name').text ?? '?')).join(', ')
  findings.add(wanted === null ? 'FST_BRK_ECS_NO_SERVICE' : 'FST_BRK_ECS_CONTAINER_UNKNOWN', document, {
    explanation: wanted === null ? `No container has a variable of the service (${names}).` : `There is no container ${wanted} (${names}).`,
    corrected: '--container NAME'
  })
}

function readExports (findings: Findings, documents: readonly Field[]): Parameters | null {
  if (documents.length === 0) return null
  const all: Parameters = { list: [], missing: [] }
  for (const document of documents) {
    const parameters = readParameters(document)
    all.list.push(...parameters?.list ?? [])
    all.missing.push(...parameters?.missing ?? [])
    if (parameters === null) {
      findings.add('FST_BRK_ECS_FILE', document, { explanation: 'The file has no exported parameters.', corrected: 'Output of aws ssm get-parameters-by-path --path /… --with-decryption' })
    }
  }
  return all
}

/** In files of their own, and in templates beside the task definition. */
function examineServices (findings: Findings, described: readonly Field[], definitions: readonly Field[], contexts: readonly Context[]): void {
  for (const document of [...described, ...definitions]) {
    const inTemplate = definitions.includes(document)
    const own = contexts.filter(({ task }) => !inTemplate || task.field.document === document.document)
    const services = readServices(document).filter((service) => own.length === 0 ? !inTemplate : own.some(({ task }) => runs(service, task)))
    const groups = readTargetGroups(document)
    for (const service of services) checkService(findings, service, own.filter(({ task }) => runs(service, task)))
    if (inTemplate && services.length === 0) continue
    for (const group of targetGroupsOf(services, groups)) checkTargetGroup(findings, group, own[0] ?? null)
    if (!inTemplate && services.length === 0 && groups.length === 0) reportNothing(findings, document, readServices(document))
  }
}

function reportNothing (findings: Findings, document: Field, others: readonly Field[]): void {
  const corrected = 'Output of aws ecs describe-services or aws elbv2 describe-target-groups'
  if (others.length === 0) findings.add('FST_BRK_ECS_FILE', document, { explanation: 'The file has neither a service nor a target group.', corrected })
  else findings.add('FST_BRK_ECS_NO_SERVICE', document, { explanation: 'The services of the file run other task definitions.', corrected })
}

/** What a task takes from a parameter was examined with the task; the rest by itself, because something else may take it. */
function examineParameters (findings: Findings, parameters: Parameters, contexts: readonly Context[]): void {
  const own = ownParameters(parameters, contexts)
  for (const parameter of own) checkParameter(findings, parameter)
  checkMissing(findings, parameters, contexts)
  const used = new Set(contexts.flatMap(({ surroundings }) => surroundings.variables.map(({ field }) => field)))
  const others = own.filter(({ value }) => value === null || !used.has(value))
  const [first] = others
  if (first === undefined) return
  const nobody = new Field(first.field.document, first.field.path.slice(0, -1), {})
  const surroundings = { variables: asVariables(others), complete: false }
  const context = new Context(findings, { field: nobody, form: 'containers', containers: [] }, nobody, surroundings, loadVariables(surroundings))
  checkAddresses(context)
  checkVariables(context)
}
