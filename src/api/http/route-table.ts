/** Which methods each path has: for `Allow`, and for what needs no key. */
import type { Endpoint } from './endpoint.ts';

export interface RouteTable {
  add(endpoint: Endpoint): void;
  methodsOf(path: string): string[];
  isOpen(method: string, path: string): boolean;
}

export function createRouteTable(): RouteTable {
  const routes: { method: string; pattern: RegExp; isOpen: boolean }[] = [];
  const at = (path: string) => routes.filter((route) => route.pattern.test(path));
  return {
    add({ method, path, isOpen = false }) {
      // Paths are letters, slashes and hyphens, and parameters in braces.
      const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
      routes.push({ method: method.toUpperCase(), pattern, isOpen });
    },
    methodsOf(path) {
      const methods = new Set(at(path).map((route) => route.method));
      if (methods.has('GET')) methods.add('HEAD');
      return [...methods].sort();
    },
    isOpen(method, path) {
      const read = method === 'HEAD' ? 'GET' : method;
      return at(path).some((route) => route.method === read && route.isOpen);
    },
  };
}
