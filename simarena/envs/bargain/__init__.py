"""bargain: negotiation over score sheets and over packages of measures."""
