/* eslint-disable no-template-curly-in-string -- that is how CloudFormation writes them */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { UNKNOWN } from '../../../services/doctor/documents/field.ts'
import { parseDocument, readDocument } from '../../../services/doctor/documents/read-document.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { CANARY } from './world.ts'

const resolve = async (value: unknown, template: object = {}, parameters = {}) => {
  const document = await parseDocument(JSON.stringify({ ...template, Resources: { One: { Type: 'T', Properties: { Value: value } } } }), 'file', parameters)
  return document.at('Resources', 'One', 'Properties', 'Value').value
}

t.test('R11.2 functions of CloudFormation are resolved as far as a file can tell', async t => {
  const template = {
    Parameters: {
      Stage: { Type: 'String', Default: 'prod' }, Blank: { Type: 'String', Default: '' }, Needed: { Type: 'String' }, List: { Type: 'CommaDelimitedList', Default: 'a, b' }, Stored: { Type: 'AWS::SSM::Parameter::Value<String>', Default: '/p' }
    },
    Mappings: { Sizes: { prod: { Memory: 2048 } } },
    Conditions: {
      IsProd: { 'Fn::Equals': [{ Ref: 'Stage' }, 'prod'] },
      IsBlank: { 'Fn::Equals': [{ Ref: 'Blank' }, ''] },
      Open: { 'Fn::Equals': [{ Ref: 'Needed' }, 'x'] },
      Both: { 'Fn::And': [{ Condition: 'IsProd' }, { Condition: 'Open' }] },
      Either: { 'Fn::Or': [{ Condition: 'IsProd' }, { Condition: 'Open' }] },
      Neither: { 'Fn::And': [{ 'Fn::Not': [{ Condition: 'IsProd' }] }, { Condition: 'Open' }] },
      Circle: { Condition: 'Circle' }
    }
  }
  const check = async (value: unknown, expected: unknown, parameters = {}) => t.strictSame(await resolve(value, template, parameters), expected, JSON.stringify(value))
  await check({ Ref: 'Stage' }, 'prod')
  await check({ Ref: 'Stage' }, 'test', { Stage: 'test' })
  await check({ Ref: 'Blank' }, UNKNOWN)
  await check({ Ref: 'Needed' }, UNKNOWN)
  await check({ Ref: 'Stored' }, UNKNOWN)
  await check({ Ref: 'AWS::Region' }, UNKNOWN)
  await check({ Ref: 'List' }, ['a', 'b'])
  await check({ 'Fn::Select': [1, { Ref: 'List' }] }, 'b')
  await check({ 'Fn::Select': [5, { Ref: 'List' }] }, UNKNOWN)
  await check({ 'Fn::Select': ['0', { 'Fn::Split': [':', 'x:y'] }] }, 'x')
  await check({ 'Fn::Split': [':', { Ref: 'Needed' }] }, UNKNOWN)
  await check({ 'Fn::Sub': '${Stage}-${!Literal}-${Cache.Address}' }, `prod-\${Literal}-${UNKNOWN}`)
  await check({ 'Fn::Sub': ['${Own}.${Stage}', { Own: { Ref: 'Stage' } }] }, 'prod.prod')
  await check({ 'Fn::Join': ['/', ['a', { Ref: 'Stage' }, { Ref: 'AWS::NoValue' }, { 'Fn::GetAtt': ['X', 'Arn'] }]] }, `a/prod/${UNKNOWN}`)
  await check({ 'Fn::FindInMap': ['Sizes', { Ref: 'Stage' }, 'Memory'] }, 2048)
  await check({ 'Fn::FindInMap': ['Sizes', 'no', 'Memory'] }, UNKNOWN)
  await check({ 'Fn::If': ['IsProd', 1, 2] }, 1)
  await check({ 'Fn::If': ['IsBlank', 1, 2] }, 1)
  await check({ 'Fn::If': ['Open', 1, 2] }, UNKNOWN)
  await check({ 'Fn::If': ['Open', 'same', 'same'] }, 'same')
  await check({ 'Fn::If': ['Open', 1, 2] }, 1, { Needed: 'x' })
  await check({ 'Fn::If': ['Both', 1, 2] }, UNKNOWN)
  await check({ 'Fn::If': ['Either', 1, 2] }, 1)
  await check({ 'Fn::If': ['Neither', 1, 2] }, 2)
  await check({ 'Fn::If': ['Circle', 1, 2] }, UNKNOWN)
  await check({ 'Fn::ImportValue': 'x' }, UNKNOWN)
  await check({ Ref: 'a', Other: 'b' }, { Ref: 'a', Other: 'b' })
})

t.test('R11.2 a resource whose condition does not hold is not there', async t => {
  const text = JSON.stringify({ Conditions: { No: { 'Fn::Equals': ['a', 'b'] } }, Resources: { Gone: { Type: 'T', Condition: 'No' }, There: { Type: 'T' } } })
  t.strictSame((await parseDocument(text, 'file')).at('Resources').entries.map(([name]) => name), ['There'])
})

t.test('R11.2 templates in YAML, with the short forms of functions', async t => {
  const document = await parseDocument(`
Parameters:
  Stage: { Type: String, Default: prod }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: !Sub 'registry-\${Stage}'
      Cpu: !If [IsProd, 1024, 512]
      Role: !GetAtt Role.Arn
      Other: !Join
        - '-'
        - [!Ref Stage, !Select [0, [x, y]]]
`, 'template.yaml')
  const task = document.at('Resources', 'Task', 'Properties')
  t.strictSame(task.value, { Family: 'registry-prod', Cpu: 1024, Role: UNKNOWN, Other: 'prod-x' })
  t.equal(task.at('cpu').line, 11)
  t.equal(task.at('missing').line, 10, 'what is not there belongs to what it is missing in')
  t.equal(task.at('Role').reference, 'Role')
  t.equal(task.at('Missing').pathText, 'Resources.Task.Properties.Missing')
})

t.test('R11.2 lines of JSON, whatever stands in its texts', async t => {
  const text = '{\n  "a\\"b": [1, {\n    "c": "} ] , : \\" \\n"\n  },\n  [],\n  true],\n  "d": {}\n}'
  const document = await parseDocument(text, 'file')
  t.equal(document.at('a"b').line, 2)
  t.strictSame(document.at('a"b').items.map(({ line }) => line), [2, 2, 5, 6])
  t.equal(document.at('a"b').items[1]!.at('c').line, 3)
  t.equal(document.at('d').line, 7)
})

t.test('I6 a file that cannot be read is refused without showing its text', async t => {
  const refused = async (text: string, message: RegExp) => {
    const err = await parseDocument(text, 'file').then(() => t.fail(text), (reason: Error & { code: string }) => reason) as Error & { code: string }
    t.equal(err.code, 'FST_BRK_DOCTOR_FILE')
    t.match(err.message, message)
    t.notMatch(`${err.message} ${err.stack}`, CANARY)
  }
  await refused(`{\n"token": ${CANARY}}`, /file cannot be examined: it is not JSON/)
  await refused(`{\n"token": "${CANARY}",\n`, /it is not JSON, line 3/)
  await refused(`a: [${CANARY}`, /it is not YAML \(\w+, line 1\)/)
  await refused(' ', /it is empty/)
  await refused(CANARY, /neither a JSON object nor a template/)
  await refused(`"${'x'.repeat(9 * 2 ** 20)}"`, /larger than 8 MiB/)
  const directory = await temporaryDirectory(t)
  await writeFile(join(directory, 'bom.json'), '\uFEFF{"family":"x"}')
  t.equal((await readDocument(join(directory, 'bom.json'))).at('family').text, 'x')
  await t.rejects(readDocument(directory), { code: 'FST_BRK_DOCTOR_FILE', message: /EISDIR/ })
})
