import { ruleSchema } from '../config/rules.ts'

import type { z } from '../schema.ts'

/** A rule as it stands in a config file. */
export type RuleText = z.input<typeof ruleSchema>

/** What came out of another proxy's file, and what could not be carried over. */
export interface Imported {
  readonly rules: readonly RuleText[]
  /** One sentence each, with the place where there is one. */
  readonly left: readonly string[]
}

/** Collects rules whose names are unique, and refuses those that the config would refuse. */
export class RuleCollector {
  readonly #rules: RuleText[] = []
  readonly #left: string[] = []
  readonly #names = new Set<string>()

  add(rule: RuleText): void {
    const named = { ...rule, name: this.#freeName(rule.name) }
    const parsed = ruleSchema.safeParse(named)
    if (parsed.success) this.#rules.push(named)
    else this.leave(`${rule.name}: ${parsed.error.issues.map(({ message }) => message).join('; ')}`)
  }

  leave(text: string): void {
    if (!this.#left.includes(text)) this.#left.push(text)
  }

  get result(): Imported {
    return { rules: this.#rules, left: this.#left }
  }

  /** As far as names of rules go, and not one that is taken. */
  #freeName(wanted: string): string {
    const plain =
      wanted
        .replace(/^\*\.?/, '')
        .replace(/[^A-Za-z0-9._-]+/g, '-')
        .replace(/^[^A-Za-z0-9]+/, '')
        .slice(0, 60) || 'imported'
    let name = plain
    for (let n = 2; this.#names.has(name.toLowerCase()); n++) name = `${plain}-${n}`
    this.#names.add(name.toLowerCase())
    return name
  }
}

/** The rules as YAML that loads as it stands, with what was left out as remarks. Text is quoted as JSON, which YAML reads too. */
export function importedYaml({ rules, left }: Imported, from: string): string {
  const lines = [
    `# sallyport import: ${rules.length} ${rules.length === 1 ? 'rule' : 'rules'} from ${from}; read each line, then \`sallyport check\``,
    ...(left.length === 0 ? [] : ['# not carried over:', ...left.map((text) => `#   ${text}`)]),
    rules.length === 0 ? 'rules: []' : 'rules:',
    ...rules.flatMap(({ name, ...rest }) => [
      `  - name: ${scalar(name)}`,
      ...Object.entries(rest).map(([key, value]) => `    ${key}: ${flow(value)}`),
    ]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function flow(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(scalar).join(', ')}]` : scalar(value)
}

/** Bare where YAML cannot take it for anything else. */
function scalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[a-z][a-z-]*(?:\.[a-z-]+)*$/i.test(value) && !/^(?:true|false|null|yes|no|on|off|nan|inf)$/i.test(value)
    ? value
    : JSON.stringify(value)
}
