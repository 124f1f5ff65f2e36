import { isDeepStrictEqual } from 'node:util'
import { UNKNOWN, isMap } from './field.ts'

type Map_ = Record<string, unknown>
type Call = (argument: unknown) => unknown

/**
 * A CloudFormation template with its functions resolved as far as a file can tell: from the parameters given, their defaults, mappings
 * and conditions. Everything else becomes `UNKNOWN`, or has it as a part.
 * @see https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
 */
export function resolveTemplate (template: Map_, given: Record<string, string>): Map_ {
  const resolver = new Resolver(template, given)
  const resources = Object.entries(template.Resources as Map_).filter(([, resource]) => isMap(resource) && resolver.exists(resource))
  return { ...template, Resources: Object.fromEntries(resources.map(([name, resource]) => [name, resolver.resolve(resource)])) }
}

class Resolver {
  readonly #parameters: Map_
  readonly #conditions: Map_
  readonly #mappings: Map_
  readonly #given: Record<string, string>
  readonly #visiting = new Set<string>()
  /** A condition may compare with a default that is empty; as a value that is rather a blank to fill in. */
  #deciding = false
  readonly #calls: Record<string, Call> = {
    Ref: (name) => this.#reference(textOf(name)),
    'Fn::Sub': (argument) => this.#substitute(argument),
    'Fn::Join': (argument) => this.#join(argument),
    'Fn::If': (argument) => this.#choose(argument),
    'Fn::Select': (argument) => this.#select(argument),
    'Fn::Split': (argument) => this.#split(argument),
    'Fn::FindInMap': (argument) => this.#find(argument)
  }

  constructor (template: Map_, given: Record<string, string>) {
    this.#parameters = section(template.Parameters)
    this.#conditions = section(template.Conditions)
    this.#mappings = section(template.Mappings)
    this.#given = given
  }

  /** Whether a resource is made, or may be. */
  exists (resource: Map_): boolean {
    return typeof resource.Condition !== 'string' || this.#holds({ Condition: resource.Condition }) !== false
  }

  resolve (value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.resolve(item))
    if (!isMap(value)) return value
    const [name = '', ...more] = Object.keys(value)
    if (more.length === 0 && Object.hasOwn(this.#calls, name)) return this.#calls[name]!(value[name])
    if (more.length === 0 && name.startsWith('Fn::')) return UNKNOWN
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, this.resolve(part)]))
  }

  #reference (name: string): unknown {
    if (name === 'AWS::NoValue') return undefined
    const { Default: fallback, Type: type = 'String' } = section(own(this.#parameters, name)) as { Default?: unknown, Type?: string }
    // The default of such a parameter is the name of another one.
    const known = (own(this.#given, name) as string | undefined) ?? (textOf(type).startsWith('AWS::SSM::') ? undefined : fallback)
    if (known === undefined || (known === '' && !this.#deciding)) return UNKNOWN
    return /^(CommaDelimitedList|List<)/.test(textOf(type)) ? textOf(known).split(',').map((item) => item.trim()) : known
  }

  #substitute (argument: unknown): unknown {
    const [text, extra] = Array.isArray(argument) ? [argument[0], section(argument[1])] : [argument, {}]
    if (typeof text !== 'string') return UNKNOWN
    return text.replace(/\$\{(!?)([^}]*)\}/g, (_all, literal: string, name: string) => {
      if (literal !== '') return `\${${name}}`
      const value = Object.hasOwn(extra, name) ? this.resolve(extra[name]) : name.includes('.') ? UNKNOWN : this.#reference(name)
      return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : UNKNOWN
    })
  }

  #join (argument: unknown): unknown {
    const [separator, list] = Array.isArray(argument) ? [argument[0], this.resolve(argument[1])] : []
    if (typeof separator !== 'string' || !Array.isArray(list)) return UNKNOWN
    return list.filter((part) => part !== undefined).map((part) => isMap(part) || Array.isArray(part) ? UNKNOWN : String(part)).join(separator)
  }

  #choose (argument: unknown): unknown {
    if (!Array.isArray(argument)) return UNKNOWN
    const [condition, yes, no] = argument as unknown[]
    const holds = this.#holds({ Condition: condition })
    if (holds !== null) return this.resolve(holds ? yes : no)
    const both = [this.resolve(yes), this.resolve(no)]
    return isDeepStrictEqual(both[0], both[1]) ? both[0] : UNKNOWN
  }

  #select (argument: unknown): unknown {
    const [index, list] = Array.isArray(argument) ? [this.resolve(argument[0]), this.resolve(argument[1])] : []
    return Array.isArray(list) ? list[Number(index)] ?? UNKNOWN : UNKNOWN
  }

  #split (argument: unknown): unknown {
    const [separator, text] = Array.isArray(argument) ? [argument[0], this.resolve(argument[1])] : []
    return typeof text === 'string' && !text.includes(UNKNOWN) ? text.split(textOf(separator)) : UNKNOWN
  }

  #find (argument: unknown): unknown {
    const keys = Array.isArray(argument) ? argument.slice(0, 3).map((key) => textOf(this.resolve(key))) : []
    const value = keys.reduce<unknown>((map, key) => own(section(map), key), this.#mappings)
    return value ?? UNKNOWN
  }

  /** Null where that is not known. */
  #holds (condition: unknown): boolean | null {
    if (!isMap(condition)) return null
    const [[name, argument] = ['', null]] = Object.entries(condition)
    const parts = Array.isArray(argument) ? argument : []
    if (name === 'Condition') return this.#named(textOf(argument))
    if (name === 'Fn::Equals') return this.#equal(parts)
    if (name === 'Fn::Not') return negation(this.#holds(parts[0]))
    const each = parts.map((part) => this.#holds(part))
    if (name === 'Fn::And') return each.includes(false) ? false : each.includes(null) ? null : true
    if (name === 'Fn::Or') return each.includes(true) ? true : each.includes(null) ? null : false
    return null
  }

  /** A condition that refers to itself is never known. */
  #named (name: string): boolean | null {
    if (this.#visiting.has(name)) return null
    this.#visiting.add(name)
    const holds = this.#holds(own(this.#conditions, name))
    this.#visiting.delete(name)
    return holds
  }

  #equal (parts: unknown[]): boolean | null {
    this.#deciding = true
    const [one, other] = parts.map((part) => this.resolve(part))
    this.#deciding = false
    if ([one, other].some((side) => typeof side !== 'string' || side.includes(UNKNOWN))) return null
    return one === other
  }
}

function section (value: unknown): Map_ {
  return isMap(value) ? value : {}
}

/** Not what every object inherits, such as `constructor`. */
function own (map: Map_, name: string): unknown {
  return Object.hasOwn(map, name) ? map[name] : undefined
}

function textOf (value: unknown): string {
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : ''
}

function negation (value: boolean | null): boolean | null {
  return value === null ? null : !value
}
