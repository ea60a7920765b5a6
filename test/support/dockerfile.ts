/** A Dockerfile as far as this project's goes: stages, instructions, line continuations, comments. Not heredocs. */

export interface Instruction {
  readonly name: string
  /** Flags such as `--from=build`. */
  readonly flags: Readonly<Record<string, string>>
  /** The rest, with build arguments filled in. */
  readonly text: string
  readonly line: number
}

export interface Stage {
  readonly image: string
  readonly name: string | undefined
  readonly instructions: readonly Instruction[]
}

export function parseDockerfile(text: string): {
  readonly args: Readonly<Record<string, string>>
  readonly stages: readonly Stage[]
} {
  const args: Record<string, string> = {}
  const stages: { image: string; name: string | undefined; instructions: Instruction[] }[] = []
  for (const { line, content } of logicalLines(text)) {
    const name = content.split(/\s/, 1)[0]?.toUpperCase() ?? ''
    const { flags, rest } = readFlags(content.slice(name.length).trim())
    const text = rest.replace(/\$\{(\w+)\}/g, (whole, key: string) => args[key] ?? whole)
    if (name === 'ARG') {
      const [key = '', value = ''] = text.split('=', 2)
      args[key] = value
    }
    if (name === 'FROM') {
      const [image = '', , stage] = text.split(/\s+/)
      stages.push({ image, name: stage, instructions: [] })
    } else stages.at(-1)?.instructions.push({ name, flags, text, line })
  }
  return { args, stages }
}

/** The words of an instruction in exec form, or undefined where it needs a shell. */
export function execForm(text: string): readonly string[] | undefined {
  const json = text.replace(/^CMD\s+/, '')
  return json.startsWith('[') ? JSON.parse(json) : undefined
}

function logicalLines(text: string): { readonly line: number; readonly content: string }[] {
  const found: { line: number; content: string }[] = []
  let open: { line: number; content: string } | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(raw)) continue
    const continued = raw.endsWith('\\')
    const content = (continued ? raw.slice(0, -1) : raw).trim()
    if (open === undefined) {
      open = { line: index + 1, content }
      found.push(open)
    } else open.content += ` ${content}`
    if (!continued) open = undefined
  }
  return found
}

function readFlags(text: string): { readonly flags: Record<string, string>; readonly rest: string } {
  const flags: Record<string, string> = {}
  let rest = text
  for (let match = /^--([\w-]+)=(\S+)\s*/.exec(rest); match !== null; match = /^--([\w-]+)=(\S+)\s*/.exec(rest)) {
    flags[match[1] ?? ''] = match[2] ?? ''
    rest = rest.slice(match[0].length)
  }
  return { flags, rest }
}
