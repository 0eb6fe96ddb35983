/** Programs run from the volume. */
import { type Topic } from '../case.js';
import { kernelOnly } from './fixtures.js';

const SCRIPT = '#,!,/,b,i,n,/,s,h,%0a,e,x,i,t,%20,7,%0a';

export const execution: Topic = {
  name: 'execution',
  cases: kernelOnly([
    {
      name: 'a script',
      steps: `put s ${SCRIPT}
        exec ./s = EACCES
        chmod s 0755
        exec ./s = 7
        as 1001 exec ./s = 7
        chmod s 0700
        as 1001 exec ./s = EACCES
        exec ./missing = ENOENT
        mkdir d
        exec ./d = EACCES
        put junk junk
        chmod junk 0755
        exec ./junk = ENOEXEC`,
    },
    {
      name: 'a file that is open for writing is not run',
      steps: `put s ${SCRIPT}
        chmod s 0755
        open fd s w
        exec ./s = ETXTBSY
        close fd
        exec ./s = 7`,
    },
  ], 'execution'),
};
