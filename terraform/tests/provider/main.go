package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

const notReal = "This is isthmus's schema-only test provider and not the AWS provider: it cannot read, plan or manage anything. " +
	"Unset TF_CLI_CONFIG_FILE and run terraform init again to use the real one."

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "schema-only provider:", err)
		os.Exit(1)
	}
}

func serve() error {
	f, err := readFacts()
	if err != nil {
		return err
	}
	p := &provider{}
	if p.resources, err = schemas(f.Resources); err != nil {
		return err
	}
	if p.sources, err = schemas(f.DataSources); err != nil {
		return err
	}
	return tf5server.Serve("isthmus/schema-only", func() tfprotov5.ProviderServer { return p })
}

// provider answers what validate and terraform test with mock_provider ask; the embedded nil interface stands for the
// calls that only a configured provider gets, which this one never is.
type provider struct {
	tfprotov5.ProviderServer
	resources, sources map[string]*tfprotov5.Schema
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	m := &tfprotov5.GetMetadataResponse{ServerCapabilities: &tfprotov5.ServerCapabilities{GetProviderSchemaOptional: true}}
	for name := range p.resources {
		m.Resources = append(m.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.sources {
		m.DataSources = append(m.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return m, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	own := &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{Attributes: []*tfprotov5.SchemaAttribute{
		{Name: "region", Type: tftypes.String, Optional: true},
		{Name: "profile", Type: tftypes.String, Optional: true},
		{Name: "allowed_account_ids", Type: tftypes.Set{ElementType: tftypes.String}, Optional: true},
	}}}
	return &tfprotov5.GetProviderSchemaResponse{Provider: own, ResourceSchemas: p.resources, DataSourceSchemas: p.sources}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{Diagnostics: []*tfprotov5.Diagnostic{{
		Severity: tfprotov5.DiagnosticSeverityError, Summary: "Not the AWS provider", Detail: notReal,
	}}}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}
