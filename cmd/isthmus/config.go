package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/isthmusdata/isthmus/internal/units"
)

// Every option has one name in four places, the first that speaks wins: the flag
// --flush-interval, the variable ISTHMUS_FLUSH_INTERVAL, the key flush-interval of the YAML
// file, and the default of the package that owns it. The flags point into the packages' own
// config structs; this file is the only one that knows viper.

const envPrefix = "ISTHMUS"

// notOptions are flags that steer the reading of the others.
var notOptions = map[string]bool{"help": true, "config": true, "print-config": true}

// addConfigFlags adds --config and --print-config to a command with options.
func addConfigFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "YAML file of options, named as the flags are")
	cmd.Flags().Bool("print-config", false, "print every effective option and where it came from, then exit")
}

// origin says where an option's value came from.
type origin map[string]string

// resolve fills the flags that were not given from the environment and the file.
func resolve(flags *pflag.FlagSet) (origin, error) {
	file, err := readFile(flags)
	if err != nil {
		return nil, usageError{err}
	}
	from := origin{}
	var faults []error
	flags.VisitAll(func(f *pflag.Flag) {
		if notOptions[f.Name] {
			return
		}
		variable := envName(f.Name)
		switch value, set := os.LookupEnv(variable); {
		case f.Changed:
			from[f.Name] = "flag"
		case set:
			from[f.Name] = "environment " + variable
			faults = append(faults, setOption(flags, f, value, variable))
		case file != nil && file.InConfig(f.Name):
			from[f.Name] = "file " + file.ConfigFileUsed()
			faults = append(faults, setOption(flags, f, fileValue(file, f.Name), file.ConfigFileUsed()))
		default:
			from[f.Name] = "default"
		}
	})
	if err := errors.Join(faults...); err != nil {
		return nil, usageError{err}
	}
	return from, nil
}

// setOption gives a flag a value that did not come from the command line.
func setOption(flags *pflag.FlagSet, f *pflag.Flag, value, source string) error {
	if err := flags.Set(f.Name, value); err != nil {
		return fmt.Errorf("%s: option %s: %w", source, f.Name, err)
	}
	return nil
}

// readFile reads the file named by --config (or ISTHMUS_CONFIG) and refuses keys that no option has.
func readFile(flags *pflag.FlagSet) (*viper.Viper, error) {
	flag := flags.Lookup("config")
	if flag == nil || flag.Value.Type() != "string" {
		return nil, nil // topic commands set topic configs with theirs
	}
	path := flag.Value.String()
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return nil, fmt.Errorf("read configuration file %s: %w", path, err)
	}
	return v, unknownKeys(v, flags)
}

// unknownKeys names every key of the file that no option has, and the option nearest to it.
func unknownKeys(v *viper.Viper, flags *pflag.FlagSet) error {
	var known []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !notOptions[f.Name] {
			known = append(known, f.Name)
		}
	})
	var faults []error
	for key := range v.AllSettings() {
		if f := flags.Lookup(key); f != nil && !notOptions[key] {
			continue
		}
		fault := fmt.Errorf("configuration file %s: unknown key %q", v.ConfigFileUsed(), key)
		if near := units.Nearest(key, known); near != "" {
			fault = fmt.Errorf("%w: did you mean %q?", fault, near)
		}
		faults = append(faults, fault)
	}
	sort.Slice(faults, func(i, j int) bool { return faults[i].Error() < faults[j].Error() })
	return errors.Join(faults...)
}

// fileValue prints a YAML value as the flag would be written.
func fileValue(v *viper.Viper, key string) string {
	if list, ok := v.Get(key).([]any); ok {
		parts := make([]string, len(list))
		for i, part := range list {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ",")
	}
	return v.GetString(key)
}

func envName(option string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

// printConfig writes the effective options as YAML that --config reads back.
func printConfig(w io.Writer, flags *pflag.FlagSet, from origin) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if notOptions[f.Name] || err != nil {
			return
		}
		_, err = fmt.Fprintf(w, "%-34s # %s\n", f.Name+": "+yamlValue(f), from[f.Name])
	})
	return err
}

func yamlValue(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return "[" + strings.Join(list.GetSlice(), ", ") + "]"
	}
	if s := f.Value.String(); s != "" && !strings.ContainsAny(s, ":#{}[]&*!|>'\"%@`") {
		return s
	}
	return fmt.Sprintf("%q", f.Value.String())
}

// configured resolves a command's options and then either prints them or does the work.
func configured(work func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		from, err := resolve(cmd.Flags())
		if err != nil {
			return err
		}
		if asked, err := cmd.Flags().GetBool("print-config"); err == nil && asked {
			return printConfig(cmd.OutOrStdout(), cmd.Flags(), from)
		}
		return work(cmd)
	}
}
