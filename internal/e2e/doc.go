// Package e2e runs isthmus as its users do: as processes, with programs that know nothing of
// it. Its tests need the build tag e2e and what scripts/e2e.sh installs and starts; they
// fail, and never skip, when something is absent.
package e2e
