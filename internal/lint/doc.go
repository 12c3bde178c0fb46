// Package lint holds the shape of the repository as tests: who may import whom, and that
// every package says what it promises. It has no code of its own.
package lint
