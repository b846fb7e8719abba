/** `xiaohe bench`: the measurements of `npm run bench`, in a process of their own so that nothing else is timed with them. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { AppError } from '../errors.ts';

const MAIN = fileURLToPath(new URL('../../test/bench/main.js', import.meta.url));

export function benchCommand(): Command {
  return new Command('bench')
    .description('测速；选项同 npm run bench · measure; options as for npm run bench')
    .argument('[options...]', 'for example --json --only decode')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (_, __, command: Command) => {
      process.exitCode = await run(command.args);
    });
}

function run(options: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...options], { stdio: 'inherit' });
    // Ctrl-C reaches the child from the terminal; we only wait for it to end.
    process.on('SIGINT', () => undefined);
    child.once('error', (cause) => reject(new AppError('INTERNAL', cause.message, { cause })));
    child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}
