package coordinator

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{InitialRebalanceDelay: -1, MaxSessionTimeout: -1}.Validate()
	for _, want := range []string{"min session", "max session", "initial rebalance", "new member", "max members", "max group bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[int16]*kerr.Error{
		codeUnknownServer: kerr.UnknownServerError, codeCoordinatorAway: kerr.CoordinatorNotAvailable,
		codeIllegalGeneration: kerr.IllegalGeneration, codeInconsistentProtocol: kerr.InconsistentGroupProtocol,
		codeInvalidGroup: kerr.InvalidGroupID, codeUnknownMember: kerr.UnknownMemberID, codeInvalidSession: kerr.InvalidSessionTimeout,
		codeRebalance: kerr.RebalanceInProgress, codeInvalidRequest: kerr.InvalidRequest, codeNonEmptyGroup: kerr.NonEmptyGroup,
		codeGroupNotFound: kerr.GroupIDNotFound, codeMemberIDRequired: kerr.MemberIDRequired, codeGroupMaxSize: kerr.GroupMaxSizeReached,
		codeFencedInstance: kerr.FencedInstanceID,
	} {
		if code != want.Code {
			t.Errorf("%s is %d, not %d", want.Message, want.Code, code)
		}
	}
}
