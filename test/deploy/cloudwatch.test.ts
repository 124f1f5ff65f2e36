import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { metricCatalogue } from '../../services/observability/metrics/catalogue.ts'

const root = join(import.meta.dirname, '../..')
const template = parse(readFileSync(join(root, 'deploy/cloudwatch/breakwater.yaml'), 'utf8'))
const runbook = readFileSync(join(root, 'docs/runbook.md'), 'utf8')
const anchors = [...runbook.matchAll(/^## (.*)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(' ', '-'))
const labelsOf = new Map(metricCatalogue.map(({ name, labels }) => [name, ['service', ...labels]]))

const resources = Object.entries<any>(template.Resources)
const alarms = resources.filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm').map(([name, { Properties }]) => ({ name, ...Properties }))

t.test('R10.3 every alarm names a metric that the service emits, with all its dimensions', async t => {
  t.ok(alarms.length >= 5)
  for (const { name, Namespace, MetricName, Dimensions } of alarms) {
    t.equal(Namespace, 'Breakwater', name)
    t.strictSame(Dimensions.map((dimension: any) => dimension.Name), labelsOf.get(MetricName), `${name}: ${MetricName}`)
  }
})

t.test('R10.3 every alarm goes to the topic, says when it is over, and links its section of the runbook', async t => {
  for (const { name, AlarmDescription, AlarmActions, OKActions } of alarms) {
    const [, anchor] = /\$\{RunbookUrl\}#([\w-]+)$/.exec(AlarmDescription['Fn::Sub']) ?? []
    t.ok(anchors.includes(anchor!), `${name}: #${anchor}`)
    t.strictSame([AlarmActions, OKActions], [[{ Ref: 'AlarmTopicArn' }], [{ Ref: 'AlarmTopicArn' }]], name)
  }
  const names = alarms.map(({ AlarmName }) => AlarmName['Fn::Sub'])
  t.equal(new Set(names).size, names.length, 'names are unique')
  t.match(alarms.find(({ name }) => name === 'Degraded'), { EvaluationPeriods: 5, Statistic: 'Minimum' }, 'five consecutive checks')
})

t.test('R10.3 every section of the runbook belongs to an alarm', async t => {
  const linked = new Set(alarms.map(({ AlarmDescription }) => AlarmDescription['Fn::Sub'].split('#').at(-1)))
  for (const anchor of anchors) t.ok(linked.has(anchor), anchor)
  for (const [, link] of runbook.matchAll(/\]\(#([\w-]+)\)/g)) t.ok(anchors.includes(link!), `link to ${link}`)
})

t.test('R10.3 the dashboard shows metrics that the service emits', async t => {
  const { widgets } = JSON.parse(template.Resources.Dashboard.Properties.DashboardBody['Fn::Sub'])
  t.ok(widgets.length >= 6)
  for (const { properties } of widgets) {
    for (const [namespace, name, ...dimensions] of properties.metrics) {
      t.equal(namespace, 'Breakwater')
      t.strictSame(dimensions.filter((_: string, index: number) => index % 2 === 0), labelsOf.get(name), name)
    }
  }
})

t.test('the template refers only to parameters and resources that it has', async t => {
  const text = JSON.stringify(template.Resources)
  const references = [...text.matchAll(/"Ref":"(\w+)"|\$\{(\w+)\}/g)].map(([, ref, sub]) => ref ?? sub!)
  for (const name of new Set(references)) t.ok(name in template.Parameters || name in template.Resources, name)
})
