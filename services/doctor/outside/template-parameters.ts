import type { Field } from '../documents/field.ts'
import type { Findings } from '../findings.ts'

/** What CloudFormation would refuse when the template is deployed. Values are not shown: some are secrets. */
export function checkTemplateParameters (findings: Findings, document: Field, given: Record<string, string>): void {
  if (document.at('Resources').absent) return
  const parameters = document.at('Parameters')
  const known = new Map(parameters.entries)
  for (const [name, value] of Object.entries(given)) {
    const parameter = known.get(name)
    if (parameter === undefined) {
      findings.add('FST_BRK_ECS_TEMPLATE_PARAMETER', parameters, { explanation: `The template has no parameter ${name}.`, corrected: `One of ${[...known.keys()].join(', ')}` })
    } else if (!isAllowed(parameter, value)) {
      const rule = parameter.at('ConstraintDescription').text ?? parameter.at('AllowedPattern').text ?? parameter.at('AllowedValues').items.map(({ text }) => text).join(', ')
      findings.add('FST_BRK_ECS_TEMPLATE_PARAMETER', parameter, { explanation: `The value of ${name} is refused by the template.`, corrected: rule })
    }
  }
}

function isAllowed (parameter: Field, value: string): boolean {
  const values = parameter.at('AllowedValues').items.map(({ text }) => text)
  const pattern = parameter.at('AllowedPattern').text
  return (values.length === 0 || values.includes(value)) && (pattern === null || matches(pattern, value))
}

/** CloudFormation's patterns are Java's; what is none here is not judged. */
function matches (pattern: string, value: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`).test(value)
  } catch {
    return true
  }
}
