//go:build !linux && !darwin

package filestore

import "os"

// writeAll writes gathered buffers one after the other.
func writeAll(f *os.File, body [][]byte) error {
	for _, b := range body {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	return nil
}
