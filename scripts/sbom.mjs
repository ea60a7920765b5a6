// `npm run sbom`: what the image holds, as CycloneDX JSON on standard output. npm calls the root after its folder; here it gets its name.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { name, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const words = ['sbom', '--omit=dev', '--sbom-format=cyclonedx', '--sbom-type=application']
const { status, stdout } = spawnSync('npm', words, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
if (status !== 0) process.exit(status ?? 1)
const sbom = JSON.parse(stdout)
Object.assign(sbom.metadata.component, { name, version })
process.stdout.write(`${JSON.stringify(sbom, undefined, 2)}\n`)
