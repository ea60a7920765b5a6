import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import type { Manifest } from './helm.ts'

/**
 * Kubernetes' own schemas (and those of cert-manager and the Prometheus operator), as the API server applies them with
 * `--validate=strict`: wrong types and missing fields, and fields that nobody knows.
 */

interface Validate {
  (data: unknown): boolean
  errors?:
    | readonly { readonly instancePath: string; readonly message?: string; readonly keyword: string; readonly params: object }[]
    | null
}

const load = createRequire(import.meta.url)

/** Nobody publishes a schema for Azure's copies of the operator's resources; they are said to be the same. */
const SAME_AS: Readonly<Record<string, string>> = { 'azmonitoring.coreos.com/v1': 'monitoring.coreos.com/v1' }

const PACKAGES: Readonly<Record<string, string>> = {
  'cert-manager.io': '@kubernetes-models/cert-manager',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
}

/** Everything the API server would refuse, in its words. */
export function schemaProblems(manifest: Manifest): string[] {
  const apiVersion = SAME_AS[manifest.apiVersion] ?? manifest.apiVersion
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
  const from = PACKAGES[group] ?? 'kubernetes-models'
  const file = load.resolve(`${from}/${apiVersion}/${manifest.kind}`)
  // Its model class reads everything once more; the compiled schema behind it is what tells what is known.
  const schema = /require\("([./]+_schemas\/\w+\.js)"\)/.exec(readFileSync(file, 'utf8'))?.[1] ?? ''
  const { validate }: { validate: Validate } = load(resolve(dirname(file), schema))
  const seen = new Seen()
  if (!validate(seen.watch({ ...manifest, apiVersion })))
    return (validate.errors ?? []).map(
      ({ instancePath, keyword, params }) => `${instancePath} ${keyword} ${JSON.stringify(params)}`,
    )
  return seen.unread()
}

/**
 * The compiled schemas do not mind unknown fields, but they never read them either: what nobody has asked for after validation is
 * what no schema knows.
 */
class Seen {
  readonly #watched: { readonly path: string; readonly target: object; readonly read: Set<string> }[] = []

  watch<T extends object>(target: T, path = ''): T {
    const read = new Set<string>()
    this.#watched.push({ path, target, read })
    const copies = new Map<string, unknown>()
    return new Proxy(target, {
      get: (_, key) => {
        const value: unknown = Reflect.get(target, key)
        if (typeof key !== 'string') return value
        read.add(key)
        if (typeof value !== 'object' || value === null) return value
        if (!copies.has(key)) copies.set(key, this.watch(value, `${path}.${key}`))
        return copies.get(key)
      },
    })
  }

  unread(): string[] {
    return this.#watched.flatMap(({ path, target, read }) =>
      Object.keys(target)
        .filter((key) => !read.has(key))
        .map((key) => `${path}.${key} is not in the schema`),
    )
  }
}
